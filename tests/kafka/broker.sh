#!/usr/bin/env bash
# Apache Kafka from Maven Central on free loopback ports, for the tests and for anyone who wants to try the sink.
#
#   broker.sh start DIR [NODES]   makes and starts a cluster of 1 (default) or 3 nodes; its data, logs and keys are in DIR
#   broker.sh kill DIR NODE       ends a node with SIGKILL
#   broker.sh pause DIR NODE      ends a node with SIGTERM, and waits for its end
#   broker.sh resume DIR NODE     starts a node again, and waits until it serves
#   broker.sh stop DIR            ends all nodes
#   broker.sh topic DIR NAME PARTITIONS   makes a topic
#   broker.sh consume DIR TOPIC COUNT     prints the first COUNT messages, key and value
#
# After `start`, DIR/env holds the version of KAFKA and the addresses: PLAINTEXT (anonymous, may do everything), SASL
# (PLAIN; users writer and reader, password NAME-secret), TLS (trust DIR/ca.pem; DIR/other-ca.pem is another authority) and
# SASL_TLS (both: SCRAM-SHA-512; user audit, password audit-secret). Needs a JDK 17 and Maven.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
command=${1:?start, kill, pause, resume, stop, topic or consume}
dir=${2:?the folder of the cluster}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

version=$(sed -n '/<artifactId>kafka_2.13</{n;s/.*<version>\(.*\)<.*/\1/p}' "$here/pom.xml")

class_path() {
    local cached
    cached="${XDG_CACHE_HOME:-$HOME/.cache}/audit-host-tests/$(cksum <"$here/pom.xml" | cut -d ' ' -f 1).class-path"
    # A cached class path is good as long as its jars are there.
    if [ ! -s "$cached" ] || ! tr ':' '\n' <"$cached" | while read -r jar; do [ -f "$jar" ] || exit 1; done; then
        mkdir -p "$(dirname "$cached")"
        local made="$cached.$$"
        mvn -q -B -f "$here/pom.xml" dependency:build-classpath "-Dmdep.outputFile=$made" >&2
        mv "$made" "$cached"
    fi
    cat "$cached"
}

# Becomes the java of a class of Kafka: whoever starts this knows the broker's own process id.
java_exec() {
    exec java -Xms256m -Xmx768m -XX:+UseSerialGC "-Dlog4j2.configurationFile=$here/log4j2.properties" -cp "$(class_path)" "$@"
}

free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
sockets = []
for _ in range(int(sys.argv[1])):
    one = socket.socket()
    one.bind(("127.0.0.1", 0))
    sockets.append(one)
print(" ".join(str(one.getsockname()[1]) for one in sockets))
PYTHON
}

keys() {
    for name in server other; do
        keytool -genkeypair -alias "$name" -keyalg RSA -keysize 2048 -validity 30 -dname "CN=$name of the audit-host tests" \
            -ext SAN=ip:127.0.0.1,dns:localhost -ext bc:c=ca:true \
            -storetype PKCS12 -keystore "$dir/$name.p12" -storepass of-the-tests 2>/dev/null
        keytool -exportcert -rfc -alias "$name" -keystore "$dir/$name.p12" -storepass of-the-tests 2>/dev/null >"$dir/$name.pem"
    done
    mv "$dir/server.pem" "$dir/ca.pem"
    mv "$dir/other.pem" "$dir/other-ca.pem"
}

configure() {
    local nodes=$1 ports voters="" plaintext="" sasl="" tls="" sasl_tls="" node
    read -ra ports <<<"$(free_ports $((nodes * 5)))"
    for ((node = 1; node <= nodes; node++)); do
        local at=$((node * 5 - 5))
        plaintext+=",127.0.0.1:${ports[at]}"
        sasl+=",127.0.0.1:${ports[at + 1]}"
        tls+=",127.0.0.1:${ports[at + 2]}"
        sasl_tls+=",127.0.0.1:${ports[at + 3]}"
        voters+=",$node@127.0.0.1:${ports[at + 4]}"
    done
    local in_sync=$((nodes == 1 ? 1 : 2))
    for ((node = 1; node <= nodes; node++)); do
        mkdir -p "$dir/$node"
        at=$((node * 5 - 5))
        cat >"$dir/$node/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=$node
controller.quorum.voters=${voters:1}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:${ports[at]},SASL://127.0.0.1:${ports[at + 1]},TLS://127.0.0.1:${ports[at + 2]},SASL_TLS://127.0.0.1:${ports[at + 3]},CONTROLLER://127.0.0.1:${ports[at + 4]}
advertised.listeners=PLAINTEXT://127.0.0.1:${ports[at]},SASL://127.0.0.1:${ports[at + 1]},TLS://127.0.0.1:${ports[at + 2]},SASL_TLS://127.0.0.1:${ports[at + 3]}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,SASL_TLS:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_writer="writer-secret" user_reader="reader-secret";
listener.name.tls.ssl.keystore.type=PKCS12
listener.name.tls.ssl.keystore.location=$dir/server.p12
listener.name.tls.ssl.keystore.password=of-the-tests
listener.name.sasl_tls.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_tls.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_tls.ssl.keystore.type=PKCS12
listener.name.sasl_tls.ssl.keystore.location=$dir/server.p12
listener.name.sasl_tls.ssl.keystore.password=of-the-tests
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
log.dirs=$dir/$node/data
auto.create.topics.enable=false
default.replication.factor=$nodes
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$nodes
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=$nodes
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
PROPERTIES
    done
    printf 'KAFKA=%s\nPLAINTEXT=%s\nSASL=%s\nTLS=%s\nSASL_TLS=%s\n' \
        "$version" "${plaintext:1}" "${sasl:1}" "${tls:1}" "${sasl_tls:1}" >"$dir/env"
}

launch() {
    local node=$1
    java_exec kafka.Kafka "$dir/$node/server.properties" </dev/null >>"$dir/$node/log" 2>&1 &
    echo $! >"$dir/$node/pid"
}

await() {
    local node=$1 port
    port=$(sed -n 's/^listeners=PLAINTEXT:\/\/127.0.0.1:\([0-9]*\),.*/\1/p' "$dir/$node/server.properties")
    python3 - "$port" "$(cat "$dir/$node/pid")" <<'PYTHON' || { tail -n 20 "$dir/$node/log" >&2; exit 1; }
import os, socket, struct, sys, time

# ApiVersions, version 0: a broker answers it when it serves.
request = struct.pack(">hhih", 18, 0, 1, -1)
port, pid, end = int(sys.argv[1]), int(sys.argv[2]), time.monotonic() + 90
while time.monotonic() < end:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        sys.exit(f"the broker (process {pid}) has ended")
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as broker:
            broker.settimeout(2)
            broker.sendall(struct.pack(">i", len(request)) + request)
            if len(broker.recv(4)) == 4:
                sys.exit(0)
    except OSError:
        pass
    # A broker does not say when it is ready: it is asked, until the deadline above.
    time.sleep(0.1)
sys.exit(f"the broker did not serve port {port} within 90 s")
PYTHON
}

end() {
    local node=$1 signal=$2 pid
    pid=$(cat "$dir/$node/pid" 2>/dev/null) || return 0
    kill "-$signal" "$pid" 2>/dev/null || return 0
    # It is no child of this shell, which therefore cannot wait for it.
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
}

# Becomes a tool of Kafka's command line, which asks the cluster; it says on standard error that it has no logger.
tool_exec() {
    local class=$1
    shift
    java_exec "org.apache.kafka.tools.$class" --bootstrap-server "$(sed -n 's/^PLAINTEXT=//p' "$dir/env")" "$@"
}

nodes() {
    local node
    for node in 1 2 3; do [ ! -f "$dir/$node/server.properties" ] || echo "$node"; done
}

case $command in
start)
    count=${3:-1}
    class_path >/dev/null
    keys
    configure "$count"
    cluster=$(python3 -c 'import base64, uuid; print(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))')
    for node in $(nodes); do
        (java_exec kafka.tools.StorageTool format "--cluster-id=$cluster" -c "$dir/$node/server.properties" \
            --add-scram 'SCRAM-SHA-512=[name=audit,password=audit-secret]') >"$dir/$node/log" 2>&1 ||
            { cat "$dir/$node/log" >&2; exit 1; }
        launch "$node"
    done
    for node in $(nodes); do await "$node"; done
    ;;
kill) end "${3:?the node}" KILL ;;
pause) end "${3:?the node}" TERM ;;
resume)
    launch "${3:?the node}"
    await "$3"
    ;;
topic) tool_exec TopicCommand --create --topic "${3:?the topic}" --partitions "${4:?how many}" >&2 ;;
consume)
    tool_exec consumer.ConsoleConsumer --topic "${3:?the topic}" --max-messages "${4:?how many}" --timeout-ms 20000 \
        --from-beginning --formatter-property print.key=true
    ;;
stop) for node in $(nodes); do end "$node" KILL; done ;;
*)
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac
