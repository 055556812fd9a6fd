# syntax=docker/dockerfile:1

# The Node that the tests run on: the version of the development dependency `node`.
ARG NODE_VERSION=26.10.0

FROM node:${NODE_VERSION}-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig*.json ./
COPY migrations migrations
COPY src src
COPY client client
COPY console console
COPY openapi openapi
RUN npm run build

FROM node:${NODE_VERSION}-slim AS dependencies
WORKDIR /build
COPY package.json package-lock.json ./
# The embedded PostgreSQL is optional, and not used in an image.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:${NODE_VERSION}-slim
LABEL org.opencontainers.image.title="Counterfoil" \
      org.opencontainers.image.description="Issues API tokens for many organizations and answers RFC 7662 introspection" \
      org.opencontainers.image.licenses="MIT"
WORKDIR /app
COPY LICENSE ./
COPY docs docs
COPY --from=dependencies /build/node_modules node_modules
COPY --from=build /build/dist dist
ENV HOST=0.0.0.0
USER node
EXPOSE 7662
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 7662}/livez`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# See "Memory" in docs/capacity.md.
ENTRYPOINT ["node", "--max-semi-space-size=8", "--initial-heap-size=100", "--no-allocation-site-pretenuring", "dist/src/server.js"]
