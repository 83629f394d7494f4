// Sends a picture as soon as it is chosen or taken, made smaller before. Without this script the form takes it along.
// Writes to no storage. It belongs to the form that it finds, and runs again for the next one.
(() => {
  "use strict";
  const form = document.querySelector("form[data-upload]");
  if (!form || "ready" in form.dataset) return;
  form.dataset.ready = "";

  const SIDES = [[2400, 0.85], [2400, 0.7], [2000, 0.65], [1600, 0.6], [1200, 0.5]]; // longest side, quality
  const ENOUGH = 600_000; // bytes: what is smaller goes out as it is
  const PICTURE = /^image\/(jpeg|png|webp|hei[cf])$/; // no PDF: some browsers would draw its first page
  const tools = document.getElementById("picture-tools").content;
  const fields = new Map(); // by id, as jobs
  const jobs = new Map(); // on their way or failed
  let held = null; // the button pressed meanwhile
  let camera = null;

  const tool = (name) => tools.querySelector(`.${name}`).cloneNode(true);
  const inputOf = (field) => field.querySelector("[type=file]");
  const written = (number, how) => number.toLocaleString(document.documentElement.lang, how);
  const say = (text) => { document.getElementById("picture-news").textContent = text; };

  function sheet(width, height, colour) {
    const canvas = Object.assign(document.createElement("canvas"), {width, height});
    const pen = canvas.getContext("2d");
    pen.fillStyle = colour;
    pen.fillRect(0, 0, width, height);
    return [canvas, pen];
  }

  // Some browsers hand out noise instead of what was drawn.
  const seen = sheet(8, 8, "#888")[1].getImageData(0, 0, 8, 8).data;
  const faithful = seen.every((value, i) => i % 4 === 3 || Math.abs(value - 136) < 16);

  function drawn(source, width, height) {
    const [canvas, pen] = sheet(width, height, "#fff"); // JPEG knows no transparency
    pen.drawImage(source, 0, 0, width, height);
    return canvas;
  }

  function jpeg(canvas, quality) {
    return new Promise((done) => { canvas.toBlob(done, "image/jpeg", quality); });
  }

  function within(side, {naturalWidth, naturalHeight}) {
    const scale = Math.min(1, side / Math.max(naturalWidth, naturalHeight));
    return [naturalWidth, naturalHeight].map((length) => Math.ceil(length * scale));
  }

  // The picture as an element, or null when this browser cannot draw it.
  function loaded(file) {
    return new Promise((done) => {
      const image = new Image();
      image.onload = image.onerror = ({type}) => {
        URL.revokeObjectURL(image.src);
        done(type === "load" ? image : null);
      };
      image.src = URL.createObjectURL(file);
    });
  }

  async function shrunk(file, image) {
    const [resizeWidth, resizeHeight] = within(SIDES[0][0], image);
    // Decoded straight to the new size, to spare memory; what knows less of this draws the element.
    const how = {imageOrientation: "from-image", resizeQuality: "high", resizeWidth, resizeHeight};
    const bitmap = await createImageBitmap(file, how).catch(() => null);
    const right = bitmap?.width === resizeWidth && bitmap.height === resizeHeight;
    let best = file;
    for (const [side, quality] of SIDES) {
      const made = await jpeg(drawn(right ? bitmap : image, ...within(side, image)), quality);
      if (made?.size < best.size) best = made;
      if (best.size <= ENOUGH) break;
    }
    bitmap?.close();
    return best === file ? file : new File([best], file.name.replace(/\.\w+$/, "") + ".jpg", {type: best.type});
  }

  // What to send, and the picture to show.
  async function prepared(file) {
    const image = PICTURE.test(file.type) ? await loaded(file) : null;
    if (!image || !faithful || file.size <= ENOUGH) return [file, image];
    const small = await shrunk(file, image).catch(() => file);
    return [small, small === file ? image : await loaded(small)];
  }

  // -- On its way

  const sending = () => [...jobs.values()].some((job) => job.state !== "failed");

  function show(job, state) {
    job.state = state;
    for (const part of job.row.querySelectorAll("[data-while]")) part.hidden = !part.dataset.while.includes(state);
    say(job.row.querySelector(`p[data-while=${state}]`).textContent);
  }

  async function begin(field, file) {
    end(field);
    const input = inputOf(field);
    field.classList.remove("wrong");
    field.querySelector(".error")?.remove();
    input.removeAttribute("aria-invalid");
    const row = tool("transfer");
    const job = {field, input, file, row};
    jobs.set(field.id, job);
    row.querySelector("bdi").textContent = file.name;
    row.querySelector(".thumb").textContent = file.name.split(".").pop().slice(0, 4).toUpperCase();
    row.querySelector(".retry").onclick = () => {
      input.focus();
      send(job);
    };
    row.querySelector(".cancel").onclick = () => {
      cancel(field);
      input.focus();
    };
    input.removeAttribute("name");
    input.before(row);
    show(job, "sending");
    const [small, image] = await prepared(file);
    if (jobs.get(field.id) !== job) return;
    if (image) row.querySelector(".thumb").replaceChildren(drawn(image, ...within(400, image)));
    job.file = small;
    if (small.size > field.dataset.limit * 1048576) refuse(job);
    else send(job);
  }

  // The field is as it was before.
  function end(field) {
    const job = jobs.get(field.id);
    if (!job) return;
    jobs.delete(field.id);
    job.request?.abort();
    if (job.request) field.querySelector("[type=hidden]").value ||= "none"; // should it have arrived all the same
    job.row.remove();
    job.input.name = field.dataset.file;
    release(false);
  }

  function cancel(field) {
    end(field);
    inputOf(field).value = "";
  }

  function refuse({field, input, file}) {
    const error = tool("too-large");
    const size = written(file.size / 1048576, {minimumFractionDigits: 1, maximumFractionDigits: 1});
    const words = error.lastChild;
    words.data = words.data.replace("{size}", size).replace("{limit}", field.dataset.limit);
    error.id = `${input.id}-error`;
    field.classList.add("wrong");
    field.querySelector("label").after(error);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", `${input.id}-hint ${error.id}`);
    cancel(field);
    say(error.textContent);
  }

  function send(job) {
    const {field, input, file, row} = job;
    const name = field.dataset.file;
    const request = job.request = new XMLHttpRequest();
    const data = new FormData();
    for (const hidden of form.querySelectorAll("[type=hidden]")) data.append(hidden.name, hidden.value);
    data.append("field", name);
    data.append("turn", Date.now());
    data.append(name, file);
    input.removeAttribute("name"); // the form does not send it too
    show(job, "sending");
    request.open("POST", form.dataset.upload);
    request.upload.onprogress = ({loaded, total}) => {
      row.querySelector("progress").value = loaded / total;
      row.querySelector(".percent").textContent = written(loaded / total, {style: "percent"});
    };
    request.upload.onload = () => show(job, "checking");
    request.onload = () => answered(job);
    request.onerror = () => failed(job);
    request.send(data);
  }

  // Kept in the input: the form takes it along if it is sent like this.
  function failed(job) {
    const kept = new DataTransfer();
    kept.items.add(job.file);
    job.input.files = kept.files;
    job.input.name = job.field.dataset.file;
    show(job, "failed");
    release(false);
  }

  function answered(job) {
    const {status, responseText} = job.request;
    const fresh = new DOMParser().parseFromString(responseText, "text/html").body.firstElementChild;
    if (!form.isConnected) return;
    const known = [200, 422].includes(status);
    if (!known && status > 410) failed(job); // too large, too often, an error over there
    else if (!known || fresh?.id !== job.field.id) window.location.assign(form.dataset.flow);
    else replace(job, fresh, status === 200);
  }

  function replace({row}, fresh, good) {
    const old = fields.get(fresh.id);
    const received = fresh.querySelector(".received");
    const focused = old.contains(document.activeElement);
    jobs.delete(fresh.id);
    fields.set(fresh.id, fresh);
    old.replaceWith(fresh);
    if (good) {
      row.className = "taken";
      received.replaceWith(row);
      row.lastElementChild.replaceWith(received);
    }
    if (focused || (held && !good)) inputOf(fresh).focus();
    say((fresh.querySelector(".error") || received).textContent);
    release(good);
  }

  // -- The form, sent meanwhile: it follows

  form.parentElement.addEventListener("submit", (event) => {
    if (event.target !== form || !sending()) return;
    event.preventDefault();
    event.stopPropagation();
    held = event.submitter;
    form.setAttribute("aria-busy", "true");
  }, true);

  function release(arrived) {
    if (!held || (arrived && sending())) return;
    const button = held;
    held = null;
    form.removeAttribute("aria-busy");
    if (arrived) button.click();
  }

  // -- The camera

  async function open(field, button) {
    const wanted = {facingMode: field.dataset.camera, width: {ideal: 2560}, height: {ideal: 1440}};
    button.disabled = true;
    const stream = await navigator.mediaDevices.getUserMedia({video: wanted}).catch(() => null);
    camera?.close();
    if (!stream) {
      const words = tool("no-camera");
      button.replaceWith(words);
      inputOf(field).focus();
      say(words.firstElementChild.textContent);
      return;
    }
    cancel(field);
    const box = tool("camera");
    const video = box.querySelector("video");
    const close = () => {
      camera = null;
      for (const track of stream.getTracks()) track.stop();
      button.disabled = false;
      box.replaceWith(button);
      button.focus();
    };
    camera = {box, close};
    button.replaceWith(box);
    if (!box.isConnected) close(); // swapped away while the customer was asked
    stream.getTracks()[0].onended = close;
    box.dataset.facing = field.dataset.camera;
    box.querySelector(".cancel").onclick = close;
    box.querySelector(".shoot").onclick = async () => {
      if (!video.videoWidth) return;
      const made = await jpeg(drawn(video, video.videoWidth, video.videoHeight), 0.92);
      close();
      begin(field, new File([made], `${video.dataset.name}.jpg`, {type: made.type}));
    };
    video.muted = true;
    video.srcObject = stream;
    box.querySelector(".shoot").focus();
  }

  // -- The fields

  function enhance() {
    for (const field of form.querySelectorAll("[data-file]:not([data-ready])")) {
      const known = fields.get(field.id);
      const keeps = known?.querySelector(".taken, .transfer") && jobs.get(field.id)?.state !== "failed";
      if (keeps && known !== field) { // drawn anew by a swap
        field.replaceWith(known);
        continue;
      }
      fields.set(field.id, field);
      field.dataset.ready = "";
      const input = inputOf(field);
      input.onchange = () => {
        const now = fields.get(field.id); // drawn anew, it may be, while the customer was choosing
        if (input.files.length) begin(now, input.files[0]);
        else end(now);
      };
      if (faithful && navigator.mediaDevices?.getUserMedia) {
        const button = tool("open-camera");
        button.onclick = () => open(field, button);
        input.after(button);
      }
      // Chosen before this script had come, and not yet on its way with the form.
      if (input.files.length && form.getAttribute("aria-busy") !== "true") begin(field, input.files[0]);
    }
  }

  new MutationObserver((_, observer) => {
    if (camera && !camera.box.isConnected) camera.close();
    if (form.isConnected) enhance();
    else observer.disconnect();
  }).observe(document.body, {childList: true, subtree: true});

  enhance();
})();
