// What holds for the whole page: its language, and whether the broker report's figures stand beside ours.
{
  const root = document.documentElement;
  const languages = [...document.querySelectorAll("button[data-speak]")];
  const published = document.querySelector("button.show-published");

  function press() {
    for (const button of languages) button.setAttribute("aria-pressed", String(button.dataset.speak === root.dataset.language));
    if (published) published.setAttribute("aria-pressed", String(root.dataset.published === "shown"));
  }

  for (const button of languages) {
    button.addEventListener("click", () => {
      speak(button.dataset.speak);
      press();
      document.dispatchEvent(new Event("redraw"));
    });
  }
  published?.addEventListener("click", () => {
    root.dataset.published = root.dataset.published === "shown" ? "hidden" : "shown";
    press();
    document.dispatchEvent(new Event("redraw"));
  });
  press();
}
