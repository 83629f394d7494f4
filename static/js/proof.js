// Makes the effort that a form asks for before it counts, and sends the form. Without this script, or where the browser
// lends us no cryptography (a page without https), the customer waits instead. Writes to no storage.
(() => {
  "use strict";
  const notice = document.getElementById("challenge");
  if (!notice || "ready" in notice.dataset) return;
  notice.dataset.ready = "";
  const {form} = notice.nextElementSibling; // the ticket
  const work = JSON.parse(notice.dataset.work);
  let byHand = "byHand" in notice.dataset;
  let done = false;

  function say(what) {
    for (const line of notice.children) line.hidden = !line.classList.contains(what);
  }

  function finish() {
    if (done || !form.isConnected) return;
    done = true;
    say(byHand ? "ready" : "going");
    if (!byHand) form.requestSubmit();
  }

  function wait() {
    if (done) return;
    say("waiting");
    setTimeout(finish, Number(notice.dataset.wait) * 1000 + 500);
  }

  function solve() {
    const worker = new Worker(notice.dataset.worker);
    worker.onmessage = ({data: solution}) => {
      worker.terminate();
      form.elements.proof.value = btoa(JSON.stringify({challenge: work, solution}));
      finish();
    };
    worker.onerror = wait;
    worker.postMessage(work.parameters);
    say("working");
  }

  // Whoever still writes sends it himself; whoever sends it too early need not send it again.
  form.addEventListener("input", () => { byHand = true; });
  document.addEventListener("submit", (event) => {
    if (event.target !== form || done || event.submitter?.name === "language") return;
    event.preventDefault();
    event.stopImmediatePropagation();
    byHand = "byHand" in notice.dataset;
  }, true);

  if (window.isSecureContext && window.crypto?.subtle && window.Worker) solve();
  else wait();
})();
