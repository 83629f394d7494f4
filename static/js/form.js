// Keeps focus and buttons right while htmx swaps the steps, and says so when a page around lets the form do too
// little. The form works without it. Writes to no storage.
(() => {
  "use strict";
  const framed = window.parent !== window;
  const own = document.currentScript;

  // htmx, which runs after this, would note the path there; ours is the right to act on the flow. It does without.
  Object.defineProperty(window, "sessionStorage", {
    get() {
      throw new Error("not used here");
    },
  });

  // A step brings no script along: the content policy knows those of the page alone. What sends files, or does the work
  // that is asked for, comes from here.
  function equip() {
    for (const [needed, name] of [["form[data-upload]", "upload"], ["#challenge", "proof"]]) {
      if (!document.querySelector(needed)) continue;
      document.head.append(Object.assign(document.createElement("script"), {src: own.dataset[name], nonce: own.nonce}));
    }
  }
  equip();

  function arrived({target: swapped}) {
    if (swapped.id !== "step") return; // a part of the step: whoever is there goes on where they are
    equip();
    const wanted = document.querySelector("#step [data-focus]")?.dataset.focus;
    const target = document.getElementById(wanted || "error-summary") || document.querySelector("#step h1");
    if (!wanted) target.tabIndex = -1;
    target.focus();
    if (framed) document.documentElement.scrollIntoView();
  }
  document.addEventListener("htmx:afterSettle", arrived);

  // While a step waits for itself, the page is left as it is: focus, open details, scroll position.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const {waits} = document.getElementById("step").dataset;
    if (waits && event.detail.serverResponse.includes(`data-waits="${waits}"`)) event.detail.shouldSwap = false;
  });

  // Another language is another page, not another step.
  document.addEventListener("submit", (event) => {
    if (event.target.id === "identify" && event.submitter?.name === "language") event.stopPropagation();
  }, true);

  document.addEventListener("htmx:beforeRequest", (event) => {
    const form = event.detail.elt;
    if (form.tagName !== "FORM") return;
    if (form.getAttribute("aria-busy") === "true") event.preventDefault();
    form.setAttribute("aria-busy", "true");
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    event.detail.elt.removeAttribute("aria-busy");
  });
  document.addEventListener("htmx:sendError", (event) => {
    // The browser does the same without script, and says what is wrong.
    const sent = event.detail.elt;
    if (!sent.isConnected) return;
    if (sent.href) window.location.assign(sent.href);
    else if (sent.tagName === "FORM") {
      const {name, value} = event.detail.requestConfig.triggeringEvent?.submitter || {};
      if (name) sent.append(Object.assign(document.createElement("input"), {type: "hidden", name, value}));
      HTMLFormElement.prototype.submit.call(sent);
    }
  });

  // -- In a frame: another language, as the embedding page asks for it (frame.js)

  function alike(one, other) {
    const [a, b] = [one, other].map((tag) => new Intl.Locale(tag).maximize());
    return a.language === b.language && a.script === b.script;
  }

  document.addEventListener("speak", ({detail: tag}) => {
    if (typeof tag !== "string" || !/^[a-z]{2,3}(-[a-z]{4})?(-[a-z]{2})?$/i.test(tag)) return;
    if (alike(tag, document.documentElement.lang)) return;
    const choice = [...document.querySelectorAll(".languages option")].find((own) => alike(tag, own.lang));
    if (!choice) return;
    choice.selected = true;
    choice.closest(".languages").querySelector("button").click();
  });

  // -- What the embedding page forbids

  function canSend() {
    const form = document.createElement("form");
    let sent = false;
    form.onsubmit = () => {
      sent = true;
      return false;
    };
    document.documentElement.append(form);
    form.requestSubmit();
    form.remove();
    return sent;
  }

  const missing = [];
  if (window.origin === "null") missing.push("allow-same-origin");
  if (!canSend()) missing.push("allow-forms");
  document.dispatchEvent(new CustomEvent("missing", {detail: missing})); // for the partner's check page
  const help = document.getElementById("frame-help");
  if (missing.length && help) { // a window opened from a sandboxed frame is often sandboxed too
    const alone = new URL(document.getElementById("step").dataset.alone, window.location);
    help.querySelector("a").href = alone;
    alone.searchParams.delete("touch"); // long, and the values stand beside it
    help.querySelector("bdi").textContent = alone;
    help.hidden = false;
    console.warn(`onboarding: the iframe's sandbox lacks ${missing.join(" and ")}`);
  }
  if (framed && document.featurePolicy?.allowsFeature("camera") === false) {
    console.warn('onboarding: the iframe lacks allow="camera", or the page\'s Permissions-Policy forbids it');
  }
})();
