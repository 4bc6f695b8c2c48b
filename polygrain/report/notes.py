"""The Chinese of notes that are written in English where they arise: sources, store, quotes, exposures, given scores.

A pattern and its Chinese, in which {} stands for what a group of the pattern holds.
"""

NOTES = (
    (
        r"Simulated market of (\S+) stocks (.+)\. No result on it says anything about real stocks\.",
        "{} 只股票的模拟行情，{}。其上的任何结果都不说明真实股票。",
    ),
    (r"without any planted signal: nothing can be predicted", "未植入任何信号：什么都无法预测"),
    (
        r"with four planted signals of strength (\S+); 1 is unreal on purpose, a Rank IC of \.30 over 5 days for "
        r"who knew the signals",
        "植入四个信号，强度 {}；1 是有意的不真实，知道信号者 5 日 Rank IC 为 .30",
    ),
    (
        r"No amount of the bars: a bar's amount is its volume times \(O\+H\+L\+C\)/4\.",
        "K 线没有成交额：以成交量乘 (O+H+L+C)/4 代替。",
    ),
    (
        r"No daily file: daily prices are those of the bars, without adjustment for splits and dividends\.",
        "没有日线文件：日线价格取自 K 线，未对拆分和分红复权。",
    ),
    (
        r"The daily file's amount is not used: a day's amount and VWAP are those of its bars\.",
        "未用日线文件的成交额：每日成交额和均价取自 K 线。",
    ),
    (
        r"No amount: a day's VWAP is \(O\+H\+L\+C\)/4 and its amount volume times that\.",
        "没有成交额：每日均价以 (O+H+L+C)/4 代替，成交额为成交量乘此价。",
    ),
    (r"No daily amount: fills at the VWAP are not possible\.", "日线没有成交额：无法按均价成交。"),
    (
        r"No adjustment factor: prices are not adjusted for splits and dividends\.",
        "没有复权因子：价格未对拆分和分红复权。",
    ),
    (r"No suspension flag: a day without volume counts as suspended\.", "没有停牌标志：无成交量的日子视为停牌。"),
    (
        r"Industries are a later date's snapshot, not point in time, taken to hold from (.+)\.",
        "行业是较晚日期的快照，并非当时所知，视为自 {} 起有效。",
    ),
    (
        r"No listing dates: a stock's first row is its listing day, except on the data's first day\.",
        "没有上市日期：股票的首行视为上市日，数据首日除外。",
    ),
    (
        r"(\S+) stock-days with bars but no traded daily row are left out: (.+)\.",
        "{} 个股票日有 K 线而无成交的日线，已略去：{}。",
    ),
    (
        r"(\S+) traded stock-days without bars, on bar days, are left out: (.+)\.",
        "{} 个股票日有成交而在有 K 线的日子里缺 K 线，已略去：{}。",
    ),
    (
        r"(\S+) trading days between the first and the last day with bars have none at all\.",
        "首末两个有 K 线的日子之间，{} 个交易日完全没有 K 线。",
    ),
    (
        r"Survivors only: (\S+) of (\S+) stocks end before the last (\S+) days; what is measured on "
        r"them is flattered\.",
        "只有幸存者：{} / {} 只股票在最后 {} 日之前终止；所得结果偏乐观。",
    ),
    (
        r"(\S+) daily rows lie before their stock's listing or after its delisting and are left out\.",
        "{} 行日线在上市之前或退市之后，已略去。",
    ),
    (r"Price limits are (.+)\.", "涨跌停价：{}。"),
    (r"those of the daily table alone; none are assumed", "仅用日线表所给，其余不作假定"),
    (r"not assumed", "不作假定"),
    (
        r"No ST column: ST stocks are in U_t, and days on which they are locked at their own limits count as "
        r"tradable\.",
        "没有 ST 列：ST 股票在 U_t 之内，其封于自身涨跌停的日子视为可交易。",
    ),
    (
        r"(\S+) stock-days left their computed price band \(relistings\); no limit is assumed there\.",
        "{} 个股票日超出推算的涨跌停区间（重新上市），该处不作涨跌停假定。",
    ),
    (
        r"(\S+) of (\S+) stocks have no listings row: listed from their first daily row; one that has left the "
        r"market stands at its last close\.",
        "{} / {} 只股票没有上市记录：自首行日线起视为上市；已退市者停在最后收盘价。",
    ),
    (r"Market value: the column (\S+)\.", "市值：{} 列。"),
    (
        r"Market value: that of float_shares; the data has no total_shares\.",
        "市值：按流通股本 float_shares 计；数据中没有总股本 total_shares。",
    ),
    (
        r"No market value: exposures are centred on equal-weighted means, not on cap-weighted ones\.",
        "没有市值：暴露以等权均值为中心，而非市值加权均值。",
    ),
    (r"Exposure to (\S+) is left out: the data has no (.+)\.", "略去 {} 的暴露：数据中没有 {}。"),
    (
        r"The data has no industries: nothing is measured by industry or neutralised to it\.",
        "数据中没有行业：不按行业衡量，也不作行业中性化。",
    ),
    (
        r"Industries are one later date's, not point in time: so is what is measured by them or neutralised to them\.",
        "行业是较晚一日的，并非当时所知：按行业衡量或中性化的结果亦然。",
    ),
    (r"(\S+) industries are put together into (\S+) groups\.", "{} 个行业合并为 {} 组。"),
    (
        r"(\S+) industries are many; exposures\.industry_groups puts finer ones together\.",
        "{} 个行业过多；exposures.industry_groups 可合并较细的行业。",
    ),
    (
        r"exposures\.industry_groups names (.+), which the data does not have\.",
        "exposures.industry_groups 列出的 {} 不在数据中。",
    ),
    (r"(.+): rows of stocks outside U_t, left out: (\S+) of (\S+)\.", "{}：U_t 之外的股票，略去 {} / {} 行。"),
    (
        r"(.+): symbols not in the market: (\S+) of (\S+) \((.+)\); rows left out: (\S+)\.",
        "{}：行情中没有的代码 {} / {} 个（{}），略去 {} 行。",
    ),
    (
        r"(.+): rows of days before (\S+), the market's first one, left out: (\S+)\.",
        "{}：早于行情首日 {} 的略去 {} 行。",
    ),
    (
        r"(.+): rows of days after (\S+), the market's last one, left out: (\S+)\.",
        "{}：晚于行情末日 {} 的略去 {} 行。",
    ),
    (
        r"(.+): rows of days after (\S+), which are locked, left out: (\S+)\.",
        "{}：{} 之后已封存，略去 {} 行。",
    ),
    (
        r"(.+): trading days between without a score: (\S+) \((.+)\); tracks whose turn it is keep their holdings\.",
        "{}：其间没有得分的交易日 {} 个（{}）；轮到的轨道维持持仓。",
    ),
    (
        r"(.+): days of (.+) left out, for not every model has a score on them: (\S+)\.",
        "{}：{} 有 {} 日因并非所有模型都有得分而略去。",
    ),
    (r"(.+): rows without a score: (\S+) of (\S+)\.", "{}：没有得分的行 {} / {}。"),
    (
        r"(.+): the test dates of the run are read; its naive composite is made anew\.",
        "{}：读取该次运行的测试日；朴素合成重新计算。",
    ),
    (r"(.+): columns not read: (.+)\.", "{}：未读取的列：{}。"),
)
