#!/usr/bin/env bash
# A Kafka tool under its own name: bin/kafka-*.sh link here, and each starts the command of its name in this clone's
# binary, from any folder and through links.
exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/millstream" "$(basename "$0" .sh)" "$@"
