// Goes on from the page that says goodbye when the apps in its frames have done the same,
// or after a while.
const frames = [...document.querySelectorAll("iframe")];
const next = document.getElementById("continue");
let open = frames.length;
const go = () => location.assign(next.href);
for (const frame of frames) frame.addEventListener("load", () => --open || go());
setTimeout(go, 4000);
