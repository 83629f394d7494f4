// Keeps focus and buttons right while htmx swaps the steps, and says so when an embedding page lets the form do too
// little. The form works without it. Writes to no storage.
(() => {
  "use strict";
  const framed = window.parent !== window;

  function arrived({target: swapped}) {
    if (swapped.id !== "step") return; // a part of the step: whoever is there goes on where they are
    const wanted = document.querySelector("#step [data-focus]")?.dataset.focus;
    const target = document.getElementById(wanted || "error-summary") || document.querySelector("#step h1");
    if (!wanted) target.tabIndex = -1;
    target.focus();
    if (framed) document.documentElement.scrollIntoView();
  }
  document.addEventListener("htmx:afterSettle", arrived);

  // htmx notes the path in the session storage; ours is the right to act on the flow and stays out of it.
  function forget() {
    try {
      window.sessionStorage.removeItem("htmx-current-path-for-history");
    } catch {
      // storage is blocked: nothing was written
    }
  }
  for (const name of ["htmx:pushedIntoHistory", "htmx:replacedInHistory"]) document.addEventListener(name, forget);
  forget();

  // While a step waits for itself, the page is left as it is: focus, open details, scroll position.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const {waits} = document.getElementById("step").dataset;
    if (waits && event.detail.serverResponse.includes(`data-waits="${waits}"`)) event.detail.shouldSwap = false;
  });

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
    if (!/^[a-z]{2,3}(-[a-z]{4})?(-[a-z]{2})?$/i.test(tag) || alike(tag, document.documentElement.lang)) return;
    const choice = [...document.querySelectorAll(".languages :is(a, option)")].find((own) => alike(tag, own.lang));
    if (!choice) return;
    choice.selected = true;
    (choice.closest("form, div")?.querySelector("button") || choice).click();
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

  if (framed) {
    const missing = [];
    if (window.origin === "null") missing.push("allow-same-origin");
    if (!canSend()) missing.push("allow-forms");
    const help = document.getElementById("frame-help");
    if (missing.length && help) {
      help.querySelector("a").href = document.getElementById("step").dataset.alone;
      help.hidden = false;
      console.warn(`onboarding: the iframe's sandbox lacks ${missing.join(" and ")}`);
    }
    document.dispatchEvent(new CustomEvent("missing", {detail: missing})); // for the partner's check page
    if (document.featurePolicy?.allowsFeature("camera") === false) {
      console.warn('onboarding: the iframe lacks allow="camera", or the page\'s Permissions-Policy forbids it');
    }
  }
})();
