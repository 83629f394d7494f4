// Puts the registration form into a partner's page: see docs/embedding.md. Needs nothing and leaves no global behind.
(() => {
  "use strict";
  const script = document.currentScript;
  const home = new URL(script.src).origin;
  const UTM = ["utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "utm_id"];
  const TYPES = ["ready", "resize", "step", "problem", "registered", "submitted", "done", "closed"];

  function address(host) {
    const given = host.dataset;
    const url = new URL(`/p/${encodeURIComponent(given.partner || "default")}/`, home);
    const page = new URLSearchParams(window.location.search);
    for (const key of UTM) {
      const own = given[key.replace(/_(.)/, (_, letter) => letter.toUpperCase())]; // data-utm-source → utmSource
      const value = own === undefined ? page.get(key) : own;
      if (value) url.searchParams.set(key, value);
    }
    for (const key of ["lang", "country", "channel", "email"]) {
      if (given[key]) url.searchParams.set(key, given[key]);
    }
    return url.href;
  }

  function mount(host) {
    if (host.dataset.onboarding === "on") return;
    host.dataset.onboarding = "on";
    const frame = document.createElement("iframe");
    frame.title = host.dataset.title || "Open an account";
    frame.allow = "camera; otp-credentials; clipboard-write";
    frame.width = "100%";
    frame.height = "640";
    frame.setAttribute("frameborder", "0");
    frame.src = address(host);
    let seq = 0;
    window.addEventListener("message", (event) => {
      const message = event.data;
      if (event.source !== frame.contentWindow || event.origin !== home) return;
      if (!message || message.source !== "onboarding" || message.version !== 1 || !TYPES.includes(message.type)) return;
      if (message.type === "ready") seq = 0; // every full page of the frame counts anew
      if (!(message.seq > seq)) return;
      seq = message.seq;
      if (message.type === "resize" && message.payload.height > 0) frame.height = String(Math.min(message.payload.height, 20000));
      host.dispatchEvent(new CustomEvent(`onboarding:${message.type}`, {bubbles: true, detail: message}));
    });
    host.append(frame);
  }

  function mountAll() {
    document.querySelectorAll("[data-onboarding]").forEach(mount);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mountAll);
  else mountAll();
})();
