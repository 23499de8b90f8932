// Goes on from the page that says goodbye when all its frames, in which apps do the same,
// are loaded, or after a while. It is written so that old browsers understand it.
(function () {
  var gone = false;
  function go() {
    if (gone) return;
    gone = true;
    window.location.href = document.getElementById("continue").href;
  }
  window.addEventListener("load", go);
  window.setTimeout(go, 4000);
})();
