"use strict";
// Before the first paint, so that nothing moves. Readers of neither language, and those without scripts, get both.
function speak(language) {
  document.documentElement.dataset.language = language;
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
}
speak({ en: "en", zh: "zh" }[navigator.language.slice(0, 2)] || "both");
document.documentElement.dataset.published = "hidden";
