#!/usr/bin/env bash
# Checks every #include against the one-way street, and the length of every source file.
#   tests/support/check_includes.sh [ROOT]
# Prints one line per violation; exit 1 when there is any. Needs only bash, find, sort and awk.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"

folders=()
for folder in core models cost_model planner executor app gui tests; do
    if [ -d "$folder" ]; then folders+=("$folder"); fi
done
find "${folders[@]}" \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -type f | sort | awk '
BEGIN {
    # Library: what its files may include of ours. The most specific folder of a file decides.
    may["core"]          = "core"
    may["models"]        = "core models"
    may["cost_model"]    = "core models cost_model"
    may["planner"]       = "core models cost_model planner"
    may["executor"]      = "core models executor"
    may["executor/cuda"] = "core models executor executor/cuda"
    may["executor/mpi"]  = "core models executor executor/mpi"
    may["app"]           = "core models cost_model planner executor app"
    may["app/cli"]       = "core models cost_model planner executor app app/cli"
    may["gui"]           = "core app gui"
    may["tests"]         = "core models cost_model planner executor app gui tests"
    may["tests/fake_cuda"] = "core models executor executor/cuda tests/fake_cuda"
    may["tests/gui"]     = "core models cost_model planner executor app gui tests tests/gui"

    # Third party: header prefix and the folders that may see it. The first match decides.
    n_third = 0
    third("^nlohmann/",                        "core tests")
    third("^CLI/",                             "app/cli")
    third("^Eigen/",                           "executor")
    third("^(oneapi/)?dnnl",                   "executor")
    third("^catch2/",                          "tests tests/gui")
    third("^(cuda|cublas|nccl|nvml|nvToolsExt)", "executor/cuda tests/fake_cuda")
    third("^pugixml",                          "app")
    third("^mpi\\.h",                          "executor/mpi")
    third("^(GLFW|imgui|implot|GL)",           "gui tests/gui")
}
function third(pattern, folders) { pattern_of[n_third] = pattern; folders_of[n_third++] = folders }
function complain(text) { print text; bad = 1 }

# "app/cli/main.cpp" -> "app/cli": the most specific folder with a row above.
function library(path,    folder) {
    folder = path
    while (sub(/\/[^\/]*$/, "", folder))
        if (folder in may) return folder
    return ""
}
function listed(word, words) { return index(" " words " ", " " word " ") > 0 }

function check_ours(file, line, target,    from, to) {
    from = library(file)
    to = library(target)
    if (target ~ /(^|\/)\.\.?\//)
        complain(file ":" line ": include \"" target "\" by its path from the root")
    else if ((getline ignored < target) < 0)
        complain(file ":" line ": \"" target "\" does not exist below the root; include by path from the root")
    else if (!listed(to, may[from]))
        complain(file ":" line ": " from " may not include \"" target "\" (allowed: " may[from] ")")
    close(target)
}
function check_third(file, line, header,    i, from) {
    from = library(file)
    for (i = 0; i < n_third; i++) {
        if (header !~ pattern_of[i]) continue
        if (!listed(from, folders_of[i]))
            complain(file ":" line ": <" header "> belongs in " folders_of[i] " only")
        return
    }
}
{
    file = $0
    line = 0
    while ((getline text < file) > 0) {
        line++
        if (text !~ /^[ \t]*#[ \t]*include[ \t]*["<]/) continue
        quoted = text ~ /include[ \t]*"/
        sub(/^[^"<]*["<]/, "", text)
        sub(/[">].*$/, "", text)
        if (quoted) check_ours(file, line, text); else check_third(file, line, text)
    }
    close(file)
    if (line > 500) complain(file ": " line " lines; 500 is the limit, split it by concept")
}
END { exit bad }
'
