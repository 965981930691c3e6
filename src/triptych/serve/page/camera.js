// The camera: frames as photos. The picture is never mirrored, so that text in it can be read.

import { dialog, make } from "./dom.js";

export const hasCamera = () => Boolean(window.isSecureContext && navigator.mediaDevices?.getUserMedia);

function frame(video) {
  const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) =>
    canvas.toBlob((blob) => resolve(new File([blob], `camera ${new Date().toISOString().slice(0, 19)}.jpg`, { type: "image/jpeg" })), "image/jpeg", 0.9),
  );
}

// Shows the camera; `take` gets each photo, and `watch`, where there is one, a frame whenever it has done with the last.
export async function openCamera(title, take, watch) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  const video = make("video", { className: "live", muted: true, playsInline: true, autoplay: true, "aria-label": "The camera" });
  video.srcObject = stream;
  let open = true;
  const told = make("p", { role: "status" });
  const looking = async () => {
    while (open && watch) {
      if (video.videoWidth) told.textContent = await watch(await frame(video));
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  };
  looking();
  await dialog(title, () => {
    const shoot = async () => {
      if (!video.videoWidth) return;
      take(await frame(video));
      told.textContent = "Taken.";
    };
    return make("div", {}, video, told, make("div", { className: "buttons" }, make("button", { type: "button", className: "main", onclick: shoot }, "Take the photo")));
  });
  open = false;
  for (const track of stream.getTracks()) track.stop();
}
