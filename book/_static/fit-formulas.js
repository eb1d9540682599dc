// A displayed formula that is wider than its column is set smaller, down to half of its size.
(() => {
  const fit = () => {
    for (const formula of document.querySelectorAll('mjx-container[display="true"]')) {
      formula.dataset.size ??= formula.style.fontSize || "100%";
      formula.style.fontSize = formula.dataset.size;
      const share = formula.clientWidth / formula.scrollWidth;
      if (share < 1) {
        const size = parseFloat(getComputedStyle(formula).fontSize);
        formula.style.fontSize = `${Math.max(share - 0.01, 0.5) * size}px`;
      }
    }
  };
  window.addEventListener("load", () => {
    window.MathJax?.startup?.promise?.then(fit);
    window.addEventListener("resize", fit);
  });
})();
