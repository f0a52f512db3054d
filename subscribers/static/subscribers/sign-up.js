// Proof of work for the sign-up form. Begins when somebody touches it, and is done before they are.
// Whatever goes wrong here, the form is sent all the same: without this there is a stricter way.
{
  // Milliseconds: before that no reader is done, and the server would not believe it.
  const SHORTEST = 2500;
  // A solution is good for ten minutes; the last one is left to the way to the server.
  const GOOD_FOR = 9 * 60 * 1000;
  const PATIENCE = 15 * 1000;
  const shownAt = Date.now();
  const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

  const solve = async (form) => {
    const answer = await fetch(form.dataset.challenge, { credentials: "omit" });
    const challenge = await answer.json();
    const worker = new Worker(form.dataset.solver);
    try {
      return await new Promise((resolve, reject) => {
        worker.onmessage = (event) => resolve(event.data);
        worker.onerror = reject;
        worker.postMessage(challenge);
      });
    } finally {
      worker.terminate();
    }
  };

  const guard = (form) => {
    const button = form.querySelector("button[type=submit]:not([name], [aria-hidden])");
    const status = form.querySelector(".sending");
    let work = null;
    let begunAt = 0;
    let isSending = false;

    const begin = () => {
      if (work && Date.now() - begunAt < GOOD_FOR) return;
      begunAt = Date.now();
      work = solve(form).catch(() => "");
    };

    const send = async (pressed) => {
      begin();
      status.textContent = status.dataset.words;
      button.setAttribute("aria-disabled", "true");
      await pause(Math.max(SHORTEST - (Date.now() - shownAt), 0));
      form.elements.work.value = await Promise.race([work, pause(PATIENCE).then(() => "")]);
      if (pressed?.name) {
        const choice = document.createElement("input");
        Object.assign(choice, { type: "hidden", name: pressed.name, value: pressed.value });
        form.append(choice);
      }
      form.submit();
    };

    form.addEventListener("focusin", begin);
    form.addEventListener("input", begin);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (isSending) return;
      isSending = true;
      send(event.submitter);
    });
    // Back from the next page: the browser shows the form as it was left.
    addEventListener("pageshow", (event) => {
      if (!event.persisted) return;
      work = null;
      isSending = false;
      status.textContent = form.elements.work.value = "";
      button.removeAttribute("aria-disabled");
    });
  };

  const form = document.getElementById("sign-up");
  if (form && globalThis.crypto?.subtle && globalThis.Worker) guard(form);
}
