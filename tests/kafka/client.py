#!/usr/bin/env python3
"""A Kafka client that is not ours, for the tests: confluent-kafka from PyPI.

  client.py create BOOTSTRAP TOPIC PARTITIONS REPLICAS [NAME=VALUE…]   makes a topic, and waits until it has leaders
  client.py allow BOOTSTRAP TOPIC USER OPERATION…                       gives a user permissions on a topic
  client.py leader BOOTSTRAP TOPIC                                      prints the node that leads partition 0
  client.py consume BOOTSTRAP TOPIC                                     prints every message, from the first to the last

`consume` prints one JSON array a line: partition, offset, key, value, headers (text, or null; bytes that are no UTF-8
are an error).
"""

import json
import sys
import time

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

PATIENCE = 60


def admin(bootstrap):
    return AdminClient({"bootstrap.servers": bootstrap})


def partitions_of(client, topic):
    return client.list_topics(topic, timeout=PATIENCE).topics[topic].partitions


def create(bootstrap, topic, partitions, replicas, *settings):
    client = admin(bootstrap)
    new = NewTopic(topic, int(partitions), int(replicas), config=dict(each.split("=", 1) for each in settings))
    client.create_topics([new], operation_timeout=PATIENCE)[topic].result()
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = partitions_of(client, topic)
        if len(found) == int(partitions) and all(one.leader >= 0 for one in found.values()):
            return
        time.sleep(0.1)
    sys.exit(f"the topic {topic} has no leaders after {PATIENCE} s")


def allow(bootstrap, topic, user, *operations):
    bindings = [
        AclBinding(
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation[operation],
            AclPermissionType.ALLOW,
        )
        for operation in operations
    ]
    client = admin(bootstrap)
    for done in client.create_acls(bindings).values():
        done.result()


def leader(bootstrap, topic):
    client = admin(bootstrap)
    print(partitions_of(client, topic)[0].leader)


def consume(bootstrap, topic):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "audit-host-tests",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    open_partitions = set(partitions_of(consumer, topic))
    consumer.assign([TopicPartition(topic, partition, 0) for partition in open_partitions])
    end = time.monotonic() + PATIENCE
    while open_partitions:
        messages = consumer.consume(10_000, timeout=0.5)
        if not messages and time.monotonic() > end:
            sys.exit(f"nothing came for {PATIENCE} s, and partitions {open_partitions} are not at their end")
        for message in messages:
            error = message.error()
            if error is None:
                end = time.monotonic() + PATIENCE
                headers = {name: value.decode() for name, value in message.headers() or []}
                key = message.key()
                line = [
                    message.partition(),
                    message.offset(),
                    None if key is None else key.decode(),
                    message.value().decode(),
                    headers,
                ]
                print(json.dumps(line))
            elif error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition())
            elif error.fatal():
                sys.exit(str(error))


if __name__ == "__main__":
    commands = {"create": create, "allow": allow, "leader": leader, "consume": consume}
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]](*sys.argv[2:])
