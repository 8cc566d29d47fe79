// A page that publishes: camera and microphone of the browser (or a canvas, for a picture that is known), one POST.
async ({ url, key, codec, video, audio, maxBitrate, width, height }) => {
  const peer = new RTCPeerConnection();
  const media = await navigator.mediaDevices.getUserMedia({
    video: video === false ? false : { width, height, frameRate: 30 },
    audio: audio !== false,
  });
  for (const track of media.getTracks()) {
    const transceiver = peer.addTransceiver(track, { direction: 'sendonly', streams: [media] });
    if (track.kind === 'video' && codec) {
      const all = RTCRtpSender.getCapabilities('video').codecs;
      const first = all.filter((one) => one.mimeType.toLowerCase() === `video/${codec}`.toLowerCase());
      transceiver.setCodecPreferences(first);
    }
    if (track.kind === 'video') {
      const parameters = transceiver.sender.getParameters();
      // A busy machine may cost pictures; what is asked of the size stays true.
      parameters.degradationPreference = 'maintain-resolution';
      if (maxBitrate) parameters.encodings[0].maxBitrate = maxBitrate;
      await transceiver.sender.setParameters(parameters);
    }
  }
  await peer.setLocalDescription();
  const started = performance.now();
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/sdp', Authorization: `Bearer ${key}` },
    body: peer.localDescription.sdp,
  });
  const text = await response.text();
  const told = {
    status: response.status,
    location: response.headers.get('Location'),
    etag: response.headers.get('ETag'),
    offer: peer.localDescription.sdp,
    text,
  };
  if (response.status !== 201) return told;
  window.__peer = peer;
  const connected = new Promise((resolve) => {
    peer.addEventListener('connectionstatechange', () => {
      if (peer.connectionState === 'connected') resolve(performance.now() - started);
    });
  });
  await peer.setRemoteDescription({ type: 'answer', sdp: text });
  told.connectedMs = await Promise.race([connected, new Promise((r) => setTimeout(() => r(null), 10000))]);
  told.state = peer.connectionState;
  return told;
}
