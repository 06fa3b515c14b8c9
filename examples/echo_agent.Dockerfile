# Voice agent of docker-compose.yml, which echoes the caller's audio.
FROM node:22-bookworm-slim
WORKDIR /agent
RUN npm install --no-audit --no-fund ws@8.23.0
COPY echo_agent.js ./
