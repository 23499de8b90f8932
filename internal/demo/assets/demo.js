// Counts the access token's time down. Without it the page shows the time that was
// left when it was made.
const badge = document.getElementById("time-left");
const bar = document.getElementById("time-bar");

const words = (s) => s <= 0 ? "expired" : s < 60 ? `${s} s left` : `${Math.floor(s / 60)} min ${s % 60} s left`;

const tick = () => {
  const ms = Number(badge.dataset.expires) * 1000 - Date.now();
  const left = Math.max(0, Math.floor(ms / 1000));
  badge.textContent = words(left);
  badge.classList.toggle("good", left > 0);
  badge.classList.toggle("bad", left <= 0);
  if (bar) bar.value = left;
  if (left > 0) setTimeout(tick, ms % 1000 + 20);
};

if (badge?.dataset.expires) tick();
