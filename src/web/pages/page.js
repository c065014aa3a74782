// What a script adds to pages that work without one: what changes is swapped in place, and forms answer where one is.
// Nothing here knows what a page says. It asks for the page again and takes over what differs, so that what is being
// typed, what has the focus and what is open stays.
"use strict";

(() => {
  const PARTS = ["waiting", "here", "beside", "notice"];
  const LOST_AFTER = 13000;
  const notice = () => document.getElementById("notice");
  let heard = Date.now();
  let source = null;
  let asking = false;
  let again = false;
  let said = false;

  /** An element's own id: a form with a field called `id` hides it behind that. */
  const idOf = (node) => (node.getAttribute && node.getAttribute("id")) || "";

  /** Makes one element like another of the same kind, keeping what is the same. */
  function patch(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || idOf(old) !== idOf(fresh)) {
      old.replaceWith(fresh);
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name } of [...old.attributes]) {
      // Whether a fold is open is the reader's to say.
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const { name, value } of [...fresh.attributes]) {
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    children(old, fresh);
  }

  function children(old, fresh) {
    const named = new Map([...old.children].filter(idOf).map((child) => [idOf(child), child]));
    let at = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const same = idOf(next) && named.get(idOf(next));
      if (same) {
        while (at && at !== same && !(idOf(at) && fresh.querySelector(`:scope > #${CSS.escape(idOf(at))}`))) {
          const gone = at;
          at = at.nextSibling;
          gone.remove();
        }
        if (at === same) at = at.nextSibling;
        else old.insertBefore(same, at);
        patch(same, next);
      } else if (at && !idOf(at) && !idOf(next) && at.nodeName === next.nodeName) {
        const here = at;
        at = at.nextSibling;
        patch(here, next);
      } else {
        const added = document.importNode(next, true);
        if (idOf(added) && added.tagName === "LI") unseen(added);
        old.insertBefore(added, at);
      }
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  /** Marks what came while one was looking, until it has been on the screen for a while. */
  const seen = "IntersectionObserver" in window && new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !document.hidden) {
        seen.unobserve(entry.target);
        setTimeout(() => entry.target.classList.remove("fresh"), 4000);
      }
    }
  });
  function unseen(element) {
    if (!seen) return;
    element.classList.add("fresh");
    seen.observe(element);
  }

  /** Takes over a page that was asked for again. */
  function take(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const main = document.getElementById("main");
    const other = fresh.getElementById("main");
    if (!main || !other) return;
    const focus = document.activeElement && document.activeElement.id;
    for (const id of PARTS) {
      // What was told here stays until something else is done.
      if (id === "notice" && said) continue;
      const old = document.getElementById(id);
      const next = fresh.getElementById(id);
      if (old && next) patch(old, next);
      else if (old) old.remove();
      else if (next) {
        const before = PARTS.slice(PARTS.indexOf(id) + 1).map((name) => document.getElementById(name)).find(Boolean);
        const added = document.importNode(next, true);
        main.insertBefore(added, id === "waiting" ? document.getElementById("here") : before || null);
      }
    }
    const kept = focus && document.getElementById(focus);
    if (kept && kept !== document.activeElement) kept.focus({ preventScroll: true });
  }

  async function refresh() {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      const response = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      if (response.ok) take(await response.text());
      else if (response.status === 401) location.reload();
    } catch {
      // The stream says when the server is back.
    }
    asking = false;
    if (again) {
      again = false;
      refresh();
    }
  }

  function stale(since) {
    const line = document.getElementById("stale");
    if (!line) return;
    const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short" };
    const text = since && `Stale: not connected since ${new Date(since).toLocaleTimeString("en-GB", clock)}. What stands here may be old.`;
    if (line.hidden === !since && (!since || line.textContent === text)) return;
    line.textContent = text || "";
    line.hidden = !since;
  }

  function connect() {
    if (source || !document.body.dataset.live) return;
    source = new EventSource(document.body.dataset.live);
    const lives = () => {
      heard = Date.now();
      stale(null);
    };
    source.addEventListener("open", lives);
    source.addEventListener("beat", lives);
    source.addEventListener("changed", (event) => {
      lives();
      // A new stream of this page goes on from here.
      document.body.dataset.live = `/live?after=${event.lastEventId}`;
      refresh();
    });
    source.addEventListener("error", () => {
      // A browser that was told no does not try again by itself.
      if (source && source.readyState === EventSource.CLOSED) disconnect();
    });
  }

  function disconnect() {
    if (source) source.close();
    source = null;
  }

  setInterval(() => {
    if (document.hidden || !document.body.dataset.live) return;
    if (Date.now() - heard > LOST_AFTER) stale(heard);
    if (!source) connect();
  }, 2000);
  // A page that nobody sees holds no connection: browsers have few for one server.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) disconnect();
    else {
      heard = Date.now();
      connect();
    }
  });

  function tell(sentence) {
    const place = notice();
    if (!place) return;
    said = true;
    place.textContent = sentence;
    place.hidden = false;
    place.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || !("swap" in form.dataset)) return;
    event.preventDefault();
    const button = form.querySelector("button");
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    try {
      const body = new URLSearchParams(new FormData(form));
      const response = await fetch(form.action, { method: "POST", body, headers: { accept: "text/html" } });
      const text = await response.text();
      const sentence = new DOMParser().parseFromString(text, "text/html").querySelector("[data-sentence]");
      if (!response.ok || sentence) tell(sentence ? sentence.textContent : `It was not taken (${response.status}). Try again.`);
      else {
        said = false;
        if ("clear" in form.dataset) form.reset();
        const [there, here] = [new URL(response.url), location];
        if (there.pathname !== here.pathname) location.assign(there);
        else {
          history.replaceState(null, "", there.pathname + there.search + here.hash);
          take(text);
        }
      }
    } catch {
      tell("The bot could not be reached, so nothing is certain. Sending the same form again acts once at most.");
    }
    button.removeAttribute("aria-disabled");
  });

  /** After the bot was killed: waits until it answers, then opens the page again. */
  const back = document.querySelector("[data-when-there]");
  if (back) {
    const began = Date.now();
    const look = async () => {
      try {
        const response = await fetch("/healthz", { cache: "no-store" });
        // It may not be dead yet.
        if (response.ok && Date.now() - began > 1500) return location.assign(back.dataset.whenThere);
      } catch {
        back.textContent = `It is away, for ${Math.round((Date.now() - began) / 1000)} s so far.`;
      }
      setTimeout(look, 500);
    };
    setTimeout(look, 700);
  }

  connect();
})();
