// Puts the registration form into a partner's page: docs/embedding.md
(() => {
  "use strict";
  const {src} = Reflect.get(Document.prototype, "currentScript", document); // no <img name=…>
  const home = new URL(src).origin;
  const UTM = ["source", "medium", "campaign", "content", "term", "id"].map((key) => `utm_${key}`);
  const PAYLOADS = {
    __proto__: null, ready: [], resize: ["height"], step: ["step", "level"], problem: ["problem"],
    registered: ["customerNo"], submitted: ["level"], done: ["outcome"], closed: [],
  };
  const ALONE = {en: "Open in a new window", es: "Abrir en otra ventana", zh: "在新窗口中打开"};

  function address(host) {
    const given = host.dataset;
    const url = new URL(`/p/${encodeURIComponent(given.partner || "default")}/${"check" in given ? "check/" : ""}`, home);
    const take = (key, value) => value === null || url.searchParams.append(key, value);
    for (const key of ["lang", "country", "channel", "email", ...UTM]) take(key, host.getAttribute(`data-${key.replace("_", "-")}`));
    for (const [key, value] of new URLSearchParams(location.search)) {
      if (UTM.includes(key.toLowerCase())) take(key, value);
    }
    return url.href;
  }

  function read(data) {
    const {source, version, type, seq, reference, payload} = data || {};
    const keys = PAYLOADS[type];
    if (source !== "onboarding" || version !== 1 || !keys || !Number.isSafeInteger(seq) || typeof reference !== "string") return null;
    const kept = {};
    for (const key of keys) {
      kept[key] = payload?.[key];
      if (typeof kept[key] !== (key === "height" ? "number" : "string")) return null;
    }
    return {source, version, type, seq, reference, payload: kept};
  }

  function mount(host) {
    const given = host.dataset;
    if (given.onboarding === "on") return;
    given.onboarding = "on";
    const frame = document.createElement("iframe");
    frame.title = given.title || "Open an account";
    frame.allow = "camera; otp-credentials; clipboard-write";
    frame.width = "100%";
    frame.height = host.clientWidth < 360 ? 1220 : 1120; // as the first step: nothing below moves
    frame.frameBorder = 0;
    frame.src = address(host);
    const help = document.createElement("p");
    const link = document.createElement("a");
    help.append(link);
    let seq = 0;
    let timer;

    function send(type) {
      const value = given[type] || "";
      frame.contentWindow?.postMessage({source: "onboarding-host", type, [type]: value}, home);
    }

    function refused() {
      const own = (given.lang || navigator.language).slice(0, 2);
      Object.assign(link, {href: frame.src, target: "_blank", textContent: ALONE[own] || ALONE.en});
      frame.hidden = true;
      frame.after(help);
      console.warn(`onboarding: no answer. Is ${location.origin} among the partner's origins?`);
    }

    addEventListener("message", (event) => {
      const message = event.source === frame.contentWindow && event.origin === home && read(event.data);
      if (!message) return;
      if (message.type === "ready") {
        seq = 0;
        clearTimeout(timer);
        help.remove();
        frame.hidden = false;
        send("theme");
      }
      if (message.seq <= seq) return;
      seq = message.seq;
      const {height} = message.payload;
      if (height > 0) frame.height = Math.min(height, 20000);
      host.dispatchEvent(new CustomEvent(`onboarding:${message.type}`, {bubbles: true, detail: message}));
    });
    frame.onload = () => {
      send("theme");
      if (!seq) timer = setTimeout(refused, 2000);
    };
    new MutationObserver((changes) => changes.forEach(({attributeName}) => send(attributeName.slice(5))))
      .observe(host, {attributeFilter: ["data-theme", "data-lang"]});
    host.append(frame);
  }

  const mountAll = () => document.querySelectorAll("[data-onboarding]").forEach(mount);
  mountAll();
  addEventListener("DOMContentLoaded", mountAll);
})();
