// Tells the embedding page what happens (docs/embedding.md) and listens to it alone.
(() => {
  "use strict";
  if (window.parent === window) return;
  const root = document.documentElement;
  const origins = document.body.dataset.origins.split(" ");
  const step = () => document.getElementById("step").dataset;
  let parent; // its origin
  let seq = 0;
  let height, told, level, customer;

  const allowed = (origin) => origins.some((own) => own === origin || (own[8] === "*" && origin.endsWith(own.slice(9))));

  const pass = (name, detail) => document.dispatchEvent(new CustomEvent(name, {detail}));

  function tell(type, payload = {}) {
    const {reference} = step();
    seq += 1;
    const message = {source: "onboarding", version: 1, type, seq, reference, payload};
    for (const origin of parent ? [parent] : origins) {
      if (origin[8] !== "*") window.parent.postMessage(message, origin);
    }
    pass("told", message);
  }

  function tellHeight() {
    const now = Math.ceil(root.getBoundingClientRect().height);
    if (Math.abs(now - height) > 1) tell("resize", {height: (height = now)});
  }

  function tellStep() {
    const data = step();
    const now = [data.step, data.level, data.problem, data.outcome].join(" ");
    if (now === told) return;
    told = now;
    if (data.customer && data.customer !== customer) tell("registered", {customerNo: (customer = data.customer)});
    if (level && /done|level|path/.test(data.step) && data.level !== level) {
      tell("submitted", {level});
      level = "";
    }
    if (data.step === "level") level = data.level;
    if (data.problem) tell("problem", {problem: data.problem});
    else tell("step", {step: data.step, level: data.level});
    if (data.step === "done") tell("done", {outcome: data.outcome});
    if ("deleted" in data) tell("closed");
  }

  function begin() {
    told = level = customer = "";
    height = 0;
    tell("ready");
    tellStep();
    tellHeight();
  }

  addEventListener("message", ({source, origin, data}) => {
    if (source !== window.parent || !allowed(origin) || data?.source !== "onboarding-host") return;
    parent = parent || origin;
    if (!seq) begin(); // not told yet
    if (data.type === "theme" && /^(light|dark)$/.test(data.theme)) root.dataset.theme = data.theme;
    if (data.type === "lang") pass("speak", data.lang); // form.js
  });
  document.addEventListener("htmx:afterSettle", ({target}) => target.id === "step" && tellStep());
  document.addEventListener("tell", ({detail}) => tell(...detail)); // check.js

  root.classList.add("framed");
  const named = location.ancestorOrigins?.[0] || new URL(document.referrer || "about:blank").origin;
  if (allowed(named)) parent = named;
  if (parent || origins.some((own) => own[8] !== "*")) begin();
  new ResizeObserver(tellHeight).observe(root);
})();
