FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /fly-autoscaler ./cmd/fly-autoscaler
# Names for the users, for whoever looks them up.
RUN printf 'root:x:0:0::/:/\napp:x:10001:10001::/:/\n' >/passwd && printf 'root:x:0:\napp:x:10001:\n' >/group

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /passwd /group /etc/
COPY --from=build /fly-autoscaler /fly-autoscaler
# A volume of Fly belongs to root: --build-arg RUN_AS=0:0 for one.
ARG RUN_AS=10001:10001
USER ${RUN_AS}
EXPOSE 9090
ENTRYPOINT ["/fly-autoscaler"]
CMD ["serve"]
