// Tells the embedding page what happens, and keeps focus and buttons right. The form works without it.
// Writes to no storage, listens to its own parent only.
(() => {
  "use strict";
  const origins = document.body.dataset.origins.split(" ").filter(Boolean);
  const framed = window.parent !== window;
  let seq = 0;
  let height = 0;
  let told = "";
  let level = "";
  let customer = "";

  function parentOrigins() {
    const known = window.location.ancestorOrigins?.[0];
    return known ? origins.filter((origin) => origin === known) : origins;
  }

  function tell(type, payload) {
    if (!framed) return;
    const {reference} = document.getElementById("step").dataset;
    seq += 1;
    for (const origin of parentOrigins()) {
      window.parent.postMessage({source: "onboarding", version: 1, type, seq, reference, payload}, origin);
    }
  }

  function tellHeight() {
    const now = Math.ceil(document.documentElement.getBoundingClientRect().height);
    if (Math.abs(now - height) < 2) return;
    height = now;
    tell("resize", {height});
  }

  function tellStep() {
    const data = document.getElementById("step").dataset;
    const now = [data.step, data.level, data.problem, data.outcome].join(" ");
    if (now === told) return;
    told = now;
    if (data.customer && data.customer !== customer) {
      customer = data.customer;
      tell("registered", {customerNo: customer});
    }
    // A problem or the status step says nothing about a level.
    if (level && (data.step === "done" || (["level", "path"].includes(data.step) && data.level !== level))) {
      tell("submitted", {level});
      level = "";
    }
    if (data.step === "level") level = data.level;
    if (data.problem) tell("problem", {problem: data.problem});
    else tell("step", {step: data.step, level: data.level});
    if (data.step === "done") tell("done", {outcome: data.outcome});
  }

  function arrived({target: swapped}) {
    if (swapped.id !== "step") return; // a part of the step: whoever is there goes on where they are
    const wanted = document.querySelector("#step [data-focus]")?.dataset.focus;
    const target = document.getElementById(wanted || "error-summary") || document.querySelector("#step h1");
    if (!wanted) target.tabIndex = -1;
    target.focus();
    if (framed) document.documentElement.scrollIntoView();
    tellStep();
  }

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
  document.addEventListener("htmx:afterSettle", arrived);
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

  window.addEventListener("message", (event) => {
    if (event.source !== window.parent || !origins.includes(event.origin)) return;
    const message = event.data;
    if (!message || message.source !== "onboarding-host") return;
    if (message.type === "theme" && /^(light|dark)$/.test(message.theme)) document.documentElement.dataset.theme = message.theme;
  });

  if (framed) {
    document.documentElement.classList.add("framed");
    new ResizeObserver(tellHeight).observe(document.documentElement);
  }
  tell("ready", {});
  tellStep();
})();
