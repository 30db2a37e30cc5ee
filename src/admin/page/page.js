"use strict";
(() => {
  const figures = document.getElementById("figures");
  const note = document.getElementById("note");
  const live = document.getElementById("live");
  const pause = 1000;
  live.parentElement.hidden = false;

  // Somebody who is copying a figure, or has scrolled a table, keeps what they have.
  const isSelecting = () => {
    const selection = document.getSelection();
    return !selection.isCollapsed && figures.contains(selection.anchorNode);
  };
  const show = (text) => {
    const scrolled = [...figures.querySelectorAll(".scroll")].map((it) => it.scrollLeft);
    const focused = [...figures.querySelectorAll(".scroll")].indexOf(document.activeElement);
    figures.innerHTML = text;
    const fresh = figures.querySelectorAll(".scroll");
    scrolled.forEach((left, place) => { if (fresh[place]) fresh[place].scrollLeft = left; });
    if (fresh[focused]) fresh[focused].focus({ preventScroll: true });
  };
  const poll = async () => {
    if (live.checked && !document.hidden && !isSelecting()) {
      try {
        const answer = await fetch("/figures", { cache: "no-store", signal: AbortSignal.timeout(5000) });
        if (!answer.ok) throw new Error(await answer.text());
        show(await answer.text());
        note.hidden = true;
      } catch {
        note.textContent = "The agent does not answer. The figures are old.";
        note.hidden = false;
      }
    }
    setTimeout(poll, pause);
  };
  setTimeout(poll, pause);
})();
