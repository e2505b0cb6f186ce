#include "app/training.h"

#include <algorithm>
#include <charconv>

namespace tplan {
namespace {

const std::vector<std::string> kTrainingFlags = {"--mesh", "--seq", "--accumulate", "--recompute",
                                                 "--optimizer"};
/// What serving alone has, and what training has in its place.
const std::vector<std::pair<std::string, std::string>> kServingFlags = {
    {"--input", "--seq gives the tokens of a sequence"},
    {"--context", "--seq gives the tokens of a sequence"},
    {"--kv-dtype", "training keeps no cache"},
    {"--sampling", "the loss takes the logits"},
    {"--quant", "fp8 is not trained here"},
    {"--gpus", "--mesh says how the GPUs are used"},
    {"--objective", "--mesh says how the GPUs are used"},
    {"--max-ttft-s", "a training step has no first token"},
    {"--max-tpot-s", "a training step has no output tokens"}};

bool was_given(const TrainingFlags& flags, const std::string& flag) {
    return std::ranges::count(flags.given, flag) > 0;
}

int axis_size(const std::string& item, const std::string& text) {
    int size = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
    if (error != std::errc() || end != text.data() + text.size() || size < 1) {
        throw Error("--mesh", fmt::format("\"{}\": a size is an integer above zero", item),
                    "write it as dp_shard=4,tp=2");
    }
    return size;
}

std::vector<std::string> items_of(const std::string& text) {
    std::vector<std::string> items{""};
    for (const char c : text) {
        if (c == ',') {
            items.emplace_back();
        } else {
            items.back() += c;
        }
    }
    return items;
}

}  // namespace

Mesh read_mesh(const std::string& text) {
    constexpr auto kNames = enum_names(MeshAxis{});
    Mesh mesh;
    std::vector<std::string> seen;
    for (const auto& item : items_of(text)) {
        const auto equals = item.find('=');
        const auto name = item.substr(0, equals);
        if (!std::ranges::count(kNames, name)) {
            const std::vector<std::string> names(kNames.begin(), kNames.end());
            const auto near = did_you_mean(name, names);
            throw Error("--mesh", fmt::format("\"{}\" is not an axis", shown(name)),
                        near.empty() ? "the axes are " + join(names, ", ") : near);
        }
        if (std::ranges::count(seen, name))
            throw Error("--mesh", name + " is given twice", "give each axis once");
        seen.push_back(name);
        const int size =
            axis_size(item, equals == std::string::npos ? "" : item.substr(equals + 1));
        (name == "tp" ? mesh.tp : name == "dp_shard" ? mesh.dp_shard : mesh.dp_replicate) = size;
    }
    return mesh;
}

void apply_training(Query& query, const TrainingFlags& flags) {
    auto& request = query.request;
    if (request.workload.phase != Phase::train) {
        for (const auto& flag : kTrainingFlags) {
            if (was_given(flags, flag))
                throw Error(flag, "is a flag of training", "add --phase train, or drop it");
        }
        return;
    }
    for (const auto& [flag, instead] : kServingFlags) {
        if (was_given(flags, flag))
            throw Error(flag, "does not apply to --phase train", "drop it: " + instead);
    }
    auto& training = request.training.emplace();
    if (!flags.mesh.empty()) training.mesh = read_mesh(flags.mesh);
    if (was_given(flags, "--tp")) {
        if (flags.mesh.find("tp=") != std::string::npos && training.mesh.tp != request.plan.tp) {
            throw Error("--tp",
                        fmt::format("{}, but --mesh has tp={}", request.plan.tp, training.mesh.tp),
                        "give the TP degree once");
        }
        training.mesh.tp = request.plan.tp;
    }
    request.plan.tp = training.mesh.tp;
    training.accumulate = flags.accumulate.value_or(1);
    if (!flags.recompute.empty())
        training.recompute = parse_enum<Recompute>(flags.recompute, "--recompute");
    if (!flags.optimizer.empty())
        training.optimizer = parse_enum<Optimizer>(flags.optimizer, "--optimizer");
    request.workload.input = flags.seq.value_or(request.workload.input);
    if (request.workload.input < 1) {
        throw Error("--seq", fmt::format("{} is out of range", request.workload.input),
                    "give an integer from 1 to 2147483648");
    }
    request.workload.context = request.workload.input;
}

}  // namespace tplan
