// Shows the frames of the feed, one a second. Sends requests to this origin only, and stores nothing.

const $ = (id) => document.getElementById(id);
const STAGES = { writes: "write", relay: "relay", projector: "streams", reads: "read" };
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

let token = "";
let previous = null;
let animated = new Set();

async function watch() {
  const headers = { accept: "text/event-stream", ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch("status/feed", { headers });
  if (response.status === 401 || response.status === 403) return signIn(response.status === 403 && token);
  if (!response.ok) throw new Error(response.status === 503 ? "too many viewers" : `status ${response.status}`);
  $("sign-in").hidden = true;
  for await (const frame of frames(response.body)) show(frame);
  throw new Error("the connection has ended");
}

async function* frames(body) {
  let text = "";
  for await (const part of body.pipeThrough(new TextDecoderStream())) {
    text += part;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

async function keepWatching() {
  for (;;) {
    try {
      if ((await watch()) === "stop") return;
    } catch (error) {
      setVerdict("bad", `Tandem does not answer (${error.message}); retrying …`);
      previous = null;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function signIn(invalid) {
  $("flow").hidden = $("latest").hidden = true;
  $("sign-in").hidden = false;
  setVerdict(invalid ? "bad" : "", invalid ? "Invalid token." : "A token is required.");
  return "stop";
}

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  keepWatching();
});

function setVerdict(kind, sentence) {
  $("verdict").className = kind;
  $("verdict").textContent = sentence;
}

function show(frame) {
  $("flow").hidden = $("latest").hidden = false;
  for (const [part, id] of Object.entries(STAGES)) showProblems(id, frame.problems.filter((problem) => problem.part === part));
  setValue("written", rate(frame, "written"));
  setValue("unpublished", number(frame.unpublished));
  setValue("oldest", seconds(frame.oldest));
  setValue("applied", sum(frame.partitions.map((partition) => appliedRate(frame, partition)).filter(Number.isFinite)));
  setValue("operations", rate(frame, "operations"));
  $("partitions").replaceChildren(...frame.partitions.map((partition) => row(frame, partition)));
  showRebuild(frame.partitions.map((partition) => partition.rebuild).filter(Boolean));
  $("events").replaceChildren(...frame.events.map(eventLine));
  frame.events.forEach(animate);
  const [first] = frame.problems;
  if (first) setVerdict(first.critical ? "bad" : "slow", first.sentence);
  else setVerdict("good", "All parts are working.");
  previous = frame;
}

function showProblems(id, problems) {
  $(id).classList.toggle("bad", problems.some((problem) => problem.critical));
  $(id).classList.toggle("slow", problems.length > 0 && !problems.some((problem) => problem.critical));
  $(id).querySelector(".why").textContent = problems.map((problem) => problem.sentence).join(" ");
}

function showRebuild(rebuilds) {
  $("rebuild").hidden = rebuilds.length === 0;
  const done = sum(rebuilds.map((rebuild) => rebuild.done));
  const expected = sum(rebuilds.map((rebuild) => rebuild.expected));
  const partitions = rebuilds.length === 1 ? "1 partition" : `${rebuilds.length} partitions`;
  $("rebuild-progress").max = expected || 1;
  $("rebuild-progress").value = done;
  $("rebuild-text").textContent = `Rebuild of ${partitions}: ${number(done)} of ${number(expected)} events`;
}

function setValue(name, value) {
  document.querySelector(`[data-value=${name}]`).textContent = typeof value === "number" ? number(value) : value;
}

function rate(frame, name) {
  if (previous === null || frame[name] === null || previous[name] === null) return "–";
  return perSecond(frame, frame[name] - previous[name]);
}

function perSecond(frame, count) {
  return Math.max(0, Math.round(count / ((frame.at - previous.at) || 1)));
}

// The counter of a generation starts at 0, so the counters of two generations cannot be compared.
function appliedRate(frame, partition) {
  const before = previous?.partitions.find((other) => other.number === partition.number);
  const same = before && before.generation && before.generation === partition.generation;
  return same ? perSecond(frame, partition.applied - before.applied) : "–";
}

function row(frame, partition) {
  const cells = [
    [partition.number], [readModel(partition), !partition.generation],
    [number(partition.entries)], [number(partition.behind)],
    [seconds(partition.lag), partition.lag > 5], [number(appliedRate(frame, partition))],
    [number(partition.parked), partition.parked > 0],
  ];
  const line = document.createElement("tr");
  for (const [text, bad] of cells) {
    const cell = line.insertCell();
    cell.textContent = text;
    cell.classList.toggle("bad", bad === true);
  }
  return line;
}

function readModel({ generation, building, rebuild }) {
  const percent = rebuild && `rebuild\u00a0${Math.floor((100 * rebuild.done) / rebuild.expected)}\u00a0%`;
  if (generation) return percent ? `served, ${percent}` : "served";
  return percent ?? (building ? "being built" : "not served");
}

function eventLine(event) {
  const line = document.createElement("li");
  const details = document.createElement("small");
  const state = document.createElement("span");
  line.textContent = event.type;
  details.textContent = `${event.aggregate} ${event.id} · version ${event.version} · ${seconds(event.age)} ago`;
  state.textContent = event.visible ? "visible" : "pending";
  state.className = state.textContent;
  line.append(details, state);
  return line;
}

// Moves a dot along the path for every event that was not shown before.
function animate(event) {
  const name = `${event.id} ${event.version}`;
  if (animated.has(name)) return;
  animated = new Set([...animated, name].slice(-100));
  if (previous === null || reducedMotion.matches) return;
  document.querySelectorAll(".path").forEach((path, index) => {
    if (index > 4) return; // an event ends in the read model
    const dot = document.createElement("span");
    dot.className = "dot";
    path.append(dot);
    const end = getComputedStyle(path).width === "2px" ? "translateY(1.6rem)" : "translateX(1.2rem)";
    dot.animate(
      [{ opacity: 0, transform: "none" }, { opacity: 1, offset: 0.3 }, { opacity: 0, transform: end }],
      { duration: 500, delay: 160 * index, fill: "both" },
    ).finished.then(() => dot.remove());
  });
}

function number(value) {
  return typeof value === "number" ? value.toLocaleString("en") : (value ?? "?");
}

function seconds(value) {
  if (value === null || value === undefined) return "?";
  if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  return value < 5400 ? `${Math.round(value / 60)} min` : `${Math.round(value / 3600)} h`;
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

keepWatching();
