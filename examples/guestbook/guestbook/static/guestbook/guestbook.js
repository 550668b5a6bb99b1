"use strict";

// How much room is left in the message.
const message = document.querySelector("textarea[maxlength]");
if (message) {
  const count = document.createElement("span");
  count.className = "count";
  document.querySelector(`label[for="${message.id}"]`).append(count);
  const show = () => { count.textContent = `${message.value.length} / ${message.maxLength}`; };
  message.addEventListener("input", show);
  show();
}

// The page that shows what the server sends by itself.
const live = document.querySelector("#live");
if (live) {
  const show = (name, text) => { live.querySelector(`[data-show="${name}"]`).textContent = text; };

  const stream = new EventSource(live.dataset.stream);
  stream.onmessage = (event) => show("stream", `event ${JSON.parse(event.data).number}`);
  stream.onerror = () => { stream.close(); live.querySelector('[data-show="stream"]').append(", stream closed"); };

  const socket = new WebSocket(new URL(live.dataset.socket, location.href.replace(/^http/, "ws")));
  socket.onopen = () => socket.send("hello");
  socket.onmessage = (event) => show("socket", `the server echoed “${event.data}”`);
  socket.onerror = () => show("socket", "not offered by this server");
}
