// Shows what the feed says, once a second. Nothing but this origin is asked, and nothing is stored.

const $ = (id) => document.getElementById(id);
const STAGES = { writes: "write", relay: "relay", projector: "streams", reads: "read" };
const calm = matchMedia("(prefers-reduced-motion: reduce)");

let token = "";
let before = null;
let travelling = new Set();

async function watch() {
  const headers = { accept: "text/event-stream", ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch("status/feed", { headers });
  if (answer.status === 401 || answer.status === 403) return enter(answer.status === 403 && token);
  if (!answer.ok) throw new Error(answer.status === 503 ? "too many are watching" : "not answered");
  $("enter").hidden = true;
  for await (const look of looks(answer.body)) show(look);
  throw new Error("the connection has ended");
}

async function* looks(body) {
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
      say("bad", `Tandem does not answer (${error.message}); asking again …`);
      before = null;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function enter(wrong) {
  $("flow").hidden = $("latest").hidden = true;
  $("enter").hidden = false;
  say(wrong ? "bad" : "", wrong ? "This token does not do." : "Who is asking?");
  return "stop";
}

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  keepWatching();
});

function say(kind, sentence) {
  $("verdict").className = kind;
  $("verdict").textContent = sentence;
}

function show(look) {
  $("flow").hidden = $("latest").hidden = false;
  for (const [part, id] of Object.entries(STAGES)) stage(id, look.problems.filter((one) => one.part === part));
  figure("written", rate(look, (one) => one.written));
  figure("unpublished", look.unpublished ?? "?");
  figure("oldest", seconds(look.oldest));
  figure("applied", sum(look.partitions.map((one) => appliedRate(look, one)).filter(Number.isFinite)));
  figure("asked", rate(look, (one) => one.asked));
  $("partitions").replaceChildren(...look.partitions.map((one) => row(look, one)));
  $("events").replaceChildren(...look.events.map(told));
  look.events.forEach(travel);
  const [first] = look.problems;
  if (first) say(first.grave ? "bad" : "slow", first.sentence);
  else say("good", "Everything flows.");
  before = look;
}

function stage(id, problems) {
  $(id).classList.toggle("bad", problems.some((one) => one.grave));
  $(id).classList.toggle("slow", problems.length > 0 && !problems.some((one) => one.grave));
  $(id).querySelector(".why").textContent = problems.map((one) => one.sentence).join(" ");
}

function figure(name, text) {
  document.querySelector(`[data-of=${name}]`).textContent = text;
}

function rate(look, of) {
  if (before === null || of(look) === null || of(before) === null) return "–";
  return perSecond(look, of(look) - of(before));
}

function perSecond(look, many) {
  return Math.max(0, Math.round(many / ((look.at - before.at) || 1)));
}

// A generation counts from nothing, so two of them cannot be compared.
function appliedRate(look, partition) {
  const was = before?.partitions.find((one) => one.number === partition.number);
  const same = was && was.generation && was.generation === partition.generation;
  return same ? perSecond(look, partition.applied - was.applied) : "–";
}

function row(look, one) {
  const serves = one.generation ? "yes" : one.building ? "is built" : "no";
  const cells = [
    [one.number], [one.entries], [one.behind], [seconds(one.lag), one.lag > 5], [appliedRate(look, one)],
    [one.parked, one.parked > 0], [serves, !one.generation],
  ];
  const made = document.createElement("tr");
  for (const [text, bad] of cells) {
    const cell = made.insertCell();
    cell.textContent = text ?? "?";
    cell.classList.toggle("bad", bad === true);
  }
  return made;
}

function told(event) {
  const line = document.createElement("li");
  const who = document.createElement("small");
  const state = document.createElement("span");
  line.textContent = event.type;
  who.textContent = `user ${event.user} · version ${event.version} · ${seconds(event.age)} ago`;
  state.textContent = event.shown ? "shown" : "on its way";
  state.className = event.shown ? "shown" : "waits";
  line.append(who, state);
  return line;
}

// A dot goes along the way for every event that is new to us.
function travel(event) {
  const name = `${event.user} ${event.version}`;
  if (travelling.has(name)) return;
  travelling = new Set([...travelling, name].slice(-100));
  if (before === null || calm.matches) return;
  document.querySelectorAll(".way").forEach((way, at) => {
    if (at > 4) return; // nobody need have read it
    const dot = document.createElement("span");
    dot.className = "dot";
    way.append(dot);
    const end = getComputedStyle(way).width === "2px" ? "translateY(1.6rem)" : "translateX(1.2rem)";
    dot.animate(
      [{ opacity: 0, transform: "none" }, { opacity: 1, offset: 0.3 }, { opacity: 0, transform: end }],
      { duration: 500, delay: 160 * at, fill: "both" },
    ).finished.then(() => dot.remove());
  });
}

function seconds(value) {
  if (value === null || value === undefined) return "?";
  if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  return value < 5400 ? `${Math.round(value / 60)} min` : `${Math.round(value / 3600)} h`;
}

const sum = (many) => many.reduce((total, one) => total + one, 0);

keepWatching();
