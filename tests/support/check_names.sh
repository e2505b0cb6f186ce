#!/usr/bin/env bash
# Two types of one namespace with the same name are one type to the linker, which keeps either's
# functions: each name stands once among the headers that share the namespace tplan.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
twice=$(grep -rhoE --include='*.h' '^(struct|class|enum class|enum) [A-Za-z_]+ *(final *)?[:{]' \
    core models planner cost_model executor/*.h app |
    awk '{name = $1 == "enum" && $2 == "class" ? $3 : $2; gsub(/[:{]/, "", name); print name}' | sort | uniq -d)
if [ -n "$twice" ]; then
    for name in $twice; do
        echo "$name is declared in: $(grep -rlE --include='*.h' "^(struct|class|enum class|enum) $name\b *(final *)?[:{]" \
            core models planner cost_model executor/*.h app | tr '\n' ' ')" >&2
    done
    exit 1
fi
