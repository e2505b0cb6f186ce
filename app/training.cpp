#include "app/training.h"

#include <algorithm>
#include <charconv>
#include <map>

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

/// "the same op in every layer, together".
struct OpRow {
    std::string name, kind, bound;
    int count = 0;
    Seconds time;
};

std::string ops_table(const Estimate& estimate) {
    std::vector<OpRow> rows;
    std::map<std::string, std::size_t> row_of;
    for (const auto& op : estimate.ops) {
        const auto bound = std::string(name_of(op.bound));
        const auto [it, inserted] = row_of.emplace(op.name + bound, rows.size());
        if (inserted) rows.push_back({op.name, op.kind, bound, 0, {}});
        ++rows[it->second].count;
        rows[it->second].time += op.time;
    }
    std::ranges::stable_sort(rows, [](const auto& a, const auto& b) { return a.time > b.time; });
    constexpr std::size_t kShown = 25;
    std::vector<std::vector<std::string>> table{
        {"op of a micro-batch", "kind", "times", "each", "together", "bound by"}};
    for (const auto& row : rows) {
        if (table.size() > kShown) break;
        table.push_back({row.name, row.kind, std::to_string(row.count),
                         format_time(row.time / row.count), format_time(row.time), row.bound});
    }
    auto text = format_table(table);
    if (rows.size() > kShown)
        text += fmt::format("and {} more, each shorter; --json has all\n", rows.size() - kShown);
    return text;
}

std::string memory_table(const MemoryUse& memory) {
    auto text = format_table({{"memory per GPU", "bytes"},
                              {"weights at work", format_bytes(memory.weights)},
                              {"gradients", format_bytes(memory.gradients)},
                              {"optimizer, master weights", format_bytes(memory.optimizer)},
                              {"activations", format_bytes(memory.activations)},
                              {"logits", format_bytes(memory.logits)},
                              {"communication", format_bytes(memory.communication)},
                              {"workspace", format_bytes(memory.workspace)},
                              {"total", format_bytes(memory.total)},
                              {"capacity", format_bytes(memory.capacity)}});
    text += fmt::format(
        "{}; largest micro-batch {} at this length, longest sequence {} at this batch\n",
        memory.fits ? "fits" : "DOES NOT FIT", format_count(memory.max_batch),
        format_count(memory.max_context));
    return text;
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

std::string training_text(const Estimate& estimate) {
    const auto& work = estimate.workload;
    const auto& training = *estimate.training;
    const auto& mesh = training.mesh;
    const auto& parts = *estimate.parts;
    auto text = fmt::format("{} on {} x {}", estimate.model, mesh.ranks(), estimate.hardware);
    if (estimate.tp > 1) text += ", TP over " + estimate.link;
    text +=
        fmt::format("\n  train, mesh dp_replicate={}, dp_shard={}, tp={}: {} sequences a step\n",
                    mesh.dp_replicate, mesh.dp_shard, mesh.tp,
                    work.batch * training.accumulate * mesh.data_parallel());
    text += fmt::format(
        "  micro-batch {} x {} tokens, accumulate {}, recompute {}, {}, {}, kernels {}, layout "
        "{}\n",
        work.batch, work.input, training.accumulate, name_of(training.recompute),
        name_of(training.optimizer), name_of(work.dtype), name_of(estimate.kernels),
        name_of(estimate.layout));
    text +=
        fmt::format("  step {}   90 % interval {} to {}   ({}, {})\n", format_time(estimate.step),
                    format_time(estimate.interval_90[0]), format_time(estimate.interval_90[1]),
                    name_of(estimate.provenance), name_of(estimate.domain));
    text += fmt::format("  {:.0f} tokens/s of all, {:.0f} of each GPU\n\n", estimate.tokens_per_s,
                        estimate.tokens_per_s / static_cast<double>(mesh.ranks()));
    const auto share = [&](Seconds part) { return format_percent(part / estimate.step); };
    const auto hidden = parts.parameters - parts.exposed_parameters;
    text += format_table(
        {{"part", "time", "share"},
         {"forward", format_time(parts.forward), share(parts.forward)},
         {"loss", format_time(parts.loss), share(parts.loss)},
         {"backward", format_time(parts.backward), share(parts.backward)},
         {"optimizer", format_time(parts.update), share(parts.update)},
         {"parameters, exposed", format_time(parts.exposed_parameters),
          share(parts.exposed_parameters)},
         {"parameters, beside compute", format_time(hidden), ""},
         {"of all, TP's collectives", format_time(estimate.collective - parts.parameters),
          share(estimate.collective - parts.parameters)}});
    text += "\n" + ops_table(estimate) + "\n" + memory_table(estimate.memory);
    for (const auto& note : estimate.notes) text += "note: " + note + "\n";
    return text;
}

TrainingResult train_at(const ModelConfig& config, const HardwareProfile& hardware,
                        PlanRequest request, int tp, const std::string& link, std::int64_t batch) {
    request.plan.tp = tp;
    request.training->mesh.tp = tp;
    request.cost.link = link;
    request.workload.batch = batch;
    return plan_training(config, hardware, request);
}

}  // namespace tplan
