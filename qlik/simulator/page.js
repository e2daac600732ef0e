"use strict";
const message = document.getElementById("message");

// Puts the page's own parts in anew, without losing the focus; what the server sends is escaped.
async function refresh() {
  try {
    const answer = await fetch("/", { cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const focused = document.activeElement && document.activeElement.id;
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(part.id);
      if (other && other.innerHTML !== part.innerHTML) part.innerHTML = other.innerHTML;
    }
    if (focused && document.activeElement.id !== focused) {
      const again = document.getElementById(focused);
      if (again) again.focus({ preventScroll: true });
    }
    message.textContent = "";
  } catch {
    message.textContent = "The simulator does not answer. Is it still running?";
  }
}

document.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new URLSearchParams(new FormData(event.target, event.submitter));
  try {
    const answer = await fetch("/play", { method: "POST", body });
    const problem = answer.ok ? "" : (await answer.json()).error;
    await refresh();
    message.textContent = problem;
  } catch {
    await refresh();
  }
});

setInterval(() => { if (!document.hidden) refresh(); }, 1000);
