// Finds out, on the partner's check page, what the embedding page allows. Writes to no storage.
(() => {
  "use strict";
  const framed = window.parent !== window;

  function say(id, good, ...texts) {
    const mark = document.createElement("span");
    mark.className = good ? "good" : "bad";
    mark.textContent = texts[0];
    document.getElementById(id).replaceChildren(mark, ` ${texts.slice(1).join(" ")}`);
    addUp();
  }

  function addUp() {
    const wrong = document.querySelectorAll("#visit .bad").length;
    const sum = document.getElementById("sum");
    sum.className = `verdict ${wrong ? "bad" : "good"}`;
    sum.textContent = wrong ? `${wrong} to mend, marked ✗ below.` : "Nothing is missing that this page can see.";
    sum.hidden = !framed;
  }

  say("scripts", true, "They run.");
  function sandbox(missing) {
    const own = !missing.includes("allow-same-origin");
    say("origin", own, own ? "Our own." : "None of its own: the form cannot send anything. Add allow-same-origin.");
    const forms = !missing.includes("allow-forms");
    say("forms", forms, forms ? "They are sent." : "They are not sent. Add allow-forms.");
  }
  sandbox([]);
  document.addEventListener("missing", ({detail}) => sandbox(detail)); // from form.js

  const features = document.permissionsPolicy || document.featurePolicy;
  for (const name of ["camera", "otp-credentials", "clipboard-write"]) {
    if (!features?.features().includes(name)) document.getElementById(name).textContent = "This browser does not say.";
    else if (features.allowsFeature(name)) say(name, true, "Allowed.");
    else say(name, false, "Not allowed.", "Missing in the iframe's allow attribute, or forbidden by your page's Permissions-Policy.");
  }
  const popups = document.createElement("button");
  Object.assign(popups, {type: "button", className: "quiet", textContent: "Try to open one"});
  popups.onclick = () => {
    const opened = window.open("about:blank", "_blank", "popup,width=200,height=200");
    opened?.close();
    say("popups", opened, opened ? "They open." : "They do not open.", opened ? "In a sandbox add allow-popups-to-escape-sandbox too, or nothing in them works." : "Add allow-popups, or the browser blocks them.");
  };
  document.getElementById("popups").replaceChildren(popups);

  if (!framed) return;
  const parent = window.location.ancestorOrigins?.[0];
  if (parent) say("where", true, `In a frame of ${parent}, which is allowed.`);
  const list = document.createElement("ol");
  document.getElementById("events").replaceChildren(list);
  document.addEventListener("told", ({detail}) => {
    // A height takes the place of the one before: a line of its own would be a new height.
    const same = detail.type === "resize" && list.lastChild?.dataset.type === "resize";
    const line = same ? list.lastChild : list.appendChild(document.createElement("li"));
    line.dataset.type = detail.type;
    line.textContent = `${detail.seq} · ${detail.type} ${JSON.stringify(detail.payload)}`;
    while (list.children.length > 20) list.firstChild.remove();
  });
  const examples = {
    problem: {problem: "busy"}, registered: {customerNo: "EXAMPLE"}, submitted: {level: "example"},
    done: {outcome: "registered"}, closed: {},
  };
  const all = document.getElementById("try");
  all.hidden = false;
  all.firstElementChild.onclick = () => {
    for (const example of Object.entries(examples)) document.dispatchEvent(new CustomEvent("tell", {detail: example}));
  };
})();
