#!/bin/sh
# Writes two softphones for a terminal, as docs/start/quick-start.md uses them: the folders anna and ben for baresip
# (Debian: `apt install baresip`), and the tone that both play. They need neither a screen nor a sound card.
#
#     sh softphones.sh && { baresip -f ben & baresip -f anna -t 9 -e "/dial ben"; }
set -eu

python3 - <<'EOF'
import math, struct, wave
with wave.open("tone.wav", "wb") as file:
    file.setparams((1, 2, 8000, 0, "NONE", ""))
    file.writeframes(b"".join(struct.pack("<h", int(8000 * math.sin(math.tau * 440 * n / 8000))) for n in range(480_000)))
EOF

phone() {   # phone NAME PORT PASSWORD
  mkdir -p "$1"
  touch "$1/contacts"
  echo "<sip:$1@127.0.0.1;transport=udp>;auth_user=$1;auth_pass=$3;answermode=auto" > "$1/accounts"
  cat > "$1/config" <<EOF
sip_listen 127.0.0.1:$2
net_interface 127.0.0.1
call_local_timeout 30
audio_source aufile,$PWD/tone.wav
audio_player aubridge,heard
audio_alert aubridge,alert
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module_tmp account.so
module_app menu.so
EOF
}

phone anna 5070 a-long-one-for-anna
phone ben 5080 a-long-one-for-ben
