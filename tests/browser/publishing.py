"""Chromium as a publisher: a canvas and an oscillator by WHIP, made on one clock."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.support.server import RunningServer

# The middle of the picture turns white, and the tone sounds, every second for a fifth of it.
_PUBLISH = """async ({url, key, port, busy, codec}) => {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [320, 180];
  document.body.append(canvas);
  const paper = canvas.getContext('2d');
  const audio = new AudioContext({sampleRate: 48000});
  await audio.resume();
  const sound = audio.createMediaStreamDestination();
  const volume = new GainNode(audio, {gain: 0});
  const tone = new OscillatorNode(audio, {frequency: 1000});
  tone.connect(volume).connect(sound);
  tone.start();
  const peer = new RTCPeerConnection();
  for (const track of [...sound.stream.getTracks(), ...canvas.captureStream(30).getTracks()])
    peer.addTransceiver(track, {direction: 'sendonly'});
  const video = peer.getTransceivers()[1];
  const known = RTCRtpSender.getCapabilities('video').codecs;
  const wanted = known.filter(each => [`video/${codec}`, 'video/rtx'].includes(each.mimeType));
  video.setCodecPreferences(wanted);
  await peer.setLocalDescription();
  const answer = await fetch(url, {method: 'POST', body: peer.localDescription.sdp,
    headers: {'Content-Type': 'application/sdp', Authorization: `Bearer ${key}`}});
  if (answer.status !== 201) return `${answer.status}: ${await answer.text()}`;
  let sdp = await answer.text();
  if (port) sdp = sdp.replace(/^(a=candidate:\\S+ 1 udp \\d+ \\S+) \\d+/gm, `$1 ${port}`);
  await peer.setRemoteDescription({type: 'answer', sdp});
  // Every second, for a fifth of it. The sound is scheduled ahead; the picture looks at the sound's clock.
  let next = Math.ceil(audio.currentTime) + 1;
  const schedule = at => { volume.gain.setValueAtTime(0.8, at); volume.gain.setValueAtTime(0, at + 0.2); };
  schedule(next);
  let count = 0;
  const paint = () => {
    const now = audio.currentTime;
    if (now >= next + 0.5) schedule(next += 1);
    paper.fillStyle = now >= next && now < next + 0.2 ? '#fff' : '#000';
    paper.fillRect(0, 0, 320, 180);
    paper.fillStyle = '#888';
    paper.fillRect(count++ % 320, 0, 8, 8);
    for (let each = 0; busy && each < 40; each++) {
      paper.fillStyle = `hsl(${Math.random() * 360} 80% 50%)`;
      paper.fillRect(Math.random() * 320, Math.random() * 60, 12, 6);
    }
    requestAnimationFrame(paint);
  };
  paint();
  window.__peer = peer;
  return peer.connectionState;
}"""


def publish(
    page: Page,
    server: RunningServer,
    room: dict[str, Any],
    *,
    codec: str = "H264",
    udp_port: int = 0,
    busy: bool = False,
) -> None:
    """Go on air in `room`. `udp_port`: send there instead of where the answer says. `busy`: a picture of many bits."""
    page.goto(f"{server.http_url}/")
    given = {
        "url": f"{server.http_url}/whip/{room['room']}",
        "key": room["stream_key"],
        "port": udp_port,
        "busy": busy,
        "codec": codec,
    }
    state = page.evaluate(_PUBLISH, given)
    assert state in ("new", "connecting", "connected"), state
