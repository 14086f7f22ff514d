# The service as an image: one static binary, no shell, no root. It is made of what make packages left in bin/release:
#
#   make packages && docker build -t stocktake .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges -v stocktake:/data -p 7540:7540 \
#     -e STOCKTAKE_TLS_NAMES=stocktake.example.org stocktake
#
# docs/install.md says more. The image has no command that asks for health: ask /readyz at the port 7541 from outside.
FROM scratch
ARG TARGETARCH
COPY --chmod=0755 bin/release/stocktake-linux-${TARGETARCH} /stocktake
COPY bin/release/stocktake-linux-${TARGETARCH}.licenses LICENSE /licenses/
COPY --chown=65532:65532 packaging/image/ /
USER 65532:65532
VOLUME /data
EXPOSE 7540 7541
STOPSIGNAL SIGTERM
ENTRYPOINT ["/stocktake"]
CMD ["serve", "--data", "/data", "--listen", ":7540", "--admin-listen", ":7541", "--tls-self-signed"]
