#include "app/estimate_text.h"

#include <algorithm>
#include <map>
#include <span>

namespace tplan {
namespace {

std::string share_of(Seconds part, const Estimate& estimate) {
    return format_percent(part / estimate.step);
}

/// "predicted 93 %, datasheet 7 % of the step"; one kind of source alone needs no share.
std::string provenance_text(const Estimate& estimate) {
    std::string text(name_of(estimate.provenance));
    if (estimate.provenance_shares.size() > 1) {
        text = "";
        for (const auto& [name, share] : estimate.provenance_shares)
            text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, format_percent(share));
    }
    return text + fmt::format("; {}", name_of(estimate.domain));
}

std::int64_t ranks_of(const Estimate& estimate) {
    return estimate.training ? estimate.training->mesh.ranks() : estimate.tp;
}

/// Memory and collectives, as asked for or by default.
std::string machine_text(const Estimate& estimate) {
    const auto& options = estimate.options;
    auto text = fmt::format("  {:g} of the memory may be used, {} of that kept free",
                            options.memory_fraction, format_bytes(options.reserve));
    if (options.collectives.value && ranks_of(estimate) > 1)
        text += fmt::format("; collectives {}", name_of(*options.collectives.value));
    return text;
}

/// What the head gathers, as the priced program does it.
std::string sampling_text(const Estimate& estimate) {
    const auto gather = fmt::format("{}.{}", kCandidates, name_of(OpKind::all_gather));
    const bool own =
        std::ranges::any_of(estimate.ops, [&](const OpEstimate& op) { return op.name == gather; });
    switch (estimate.sampling) {
        case Sampling::greedy:
            if (own) return "sampling greedy: the head gathers the best candidate of every rank";
            if (estimate.tp == 1) return "sampling greedy: one rank, nothing is gathered";
            if (estimate.layout == LayoutChoice::hf)
                return "sampling greedy: the model's own plan gathers all logits all the same";
            return "sampling greedy: every rank has all logits";
        case Sampling::top_p:
            return "sampling top-p: the head gathers all logits, no share of which is sure to "
                   "hold the nucleus";
        case Sampling::logits:
            break;
    }
    return "sampling logits: the head gathers all of them";
}

/// What was asked for and what was not: the defaults that the figures rest on.
std::string settings_text(const Estimate& estimate) {
    const auto& work = estimate.workload;
    const auto& options = estimate.options;
    const bool decode = work.phase == Phase::decode;
    auto text = fmt::format("  {}, batch {}, {} {}, {}, KV cache {}, kernels {}, layout {}\n",
                            name_of(work.phase), work.batch, decode ? "context" : "input",
                            work.cached_tokens(), name_of(work.dtype), name_of(work.kv_dtype),
                            name_of(estimate.kernels), name_of(estimate.layout));
    text += machine_text(estimate);
    text += "; " + sampling_text(estimate);
    if (work.dtype == DType::fp8)
        text += fmt::format("; {} activation scales", options.quant_dynamic ? "dynamic" : "static");
    return text + "\n";
}

std::string training_settings_text(const Estimate& estimate) {
    const auto& work = estimate.workload;
    const auto& training = *estimate.training;
    return fmt::format(
        "  train, mesh {}: {} sequences a step\n  micro-batch {} x {} tokens, accumulate {}, "
        "recompute {}, {}, {}, kernels {}, layout {}\n{}\n",
        mesh_text(training.mesh), work.batch * training.accumulate * training.mesh.data_parallel(),
        work.batch, work.input, training.accumulate, name_of(training.recompute),
        name_of(training.optimizer), name_of(work.dtype), name_of(estimate.kernels),
        name_of(estimate.layout), machine_text(estimate));
}

/// Of training, that has three times as many ops, the longest.
std::string ops_text(const Estimate& estimate) {
    const auto rows = sums_of_ops(estimate);
    std::vector<std::vector<std::string>> table{{estimate.training ? "op of a micro-batch" : "op",
                                                 "kind", "times", "each", "together", "share",
                                                 "bound by"}};
    constexpr std::size_t kShown = 25;
    const auto shown = estimate.training ? std::min(rows.size(), kShown) : rows.size();
    for (const auto& row : std::span(rows).first(shown)) {
        table.push_back({row.name, row.kind, std::to_string(row.count),
                         format_time(row.time / row.count), format_time(row.time),
                         share_of(row.time, estimate), row.bound});
    }
    auto text = "\n" + format_table(table);
    if (shown < rows.size())
        text += fmt::format("and {} more, each shorter; --json has all\n", rows.size() - shown);
    return text;
}

std::string kinds_text(const Estimate& estimate) {
    if (!estimate.kinds) return {};
    return "\nthe table above is of the kind with the least room; both:\n" +
           format_table(rows_of_kinds(*estimate.kinds, estimate.shares));
}

std::string memory_text(const Estimate& estimate) {
    const auto& memory = estimate.memory;
    const bool trains = estimate.training.has_value();
    std::vector<std::vector<std::string>> table{
        {"memory per GPU", "bytes"},
        {trains ? "weights at work" : "weights", format_bytes(memory.weights)}};
    if (trains) {
        table.push_back({"gradients", format_bytes(memory.gradients)});
        table.push_back({"optimizer, master weights", format_bytes(memory.optimizer)});
    } else {
        table.push_back({"KV cache", format_bytes(memory.kv_cache)});
    }
    table.insert(table.end(), {{"activations", format_bytes(memory.activations)},
                               {"logits", format_bytes(memory.logits)},
                               {"communication", format_bytes(memory.communication)},
                               {"workspace", format_bytes(memory.workspace)},
                               {"total", format_bytes(memory.total)},
                               {"capacity", format_bytes(memory.capacity)}});
    return "\n" + format_table(table) + kinds_text(estimate) +
           fmt::format("{}; largest {} {} at this length, longest {} {} at this batch\n",
                       memory.fits ? "fits" : "DOES NOT FIT", trains ? "micro-batch" : "batch",
                       format_count(memory.max_batch), trains ? "sequence" : "context",
                       format_count(memory.max_context));
}

/// Rates and parts of the step.
std::string serving_text(const Estimate& estimate) {
    const bool decode = estimate.workload.phase == Phase::decode;
    auto text = fmt::format("  {:.0f} tokens/s of the group; isolated time {} {}\n\n",
                            estimate.tokens_per_s, decode ? "per output token" : "to first token",
                            format_time(estimate.step));
    text += format_table(
        {{"part", "time", "share"},
         {"compute", format_time(estimate.compute), share_of(estimate.compute, estimate)},
         {"communication", format_time(estimate.collective),
          share_of(estimate.collective, estimate)},
         {"of both, launch", format_time(estimate.launch), share_of(estimate.launch, estimate)},
         {"mean layer", format_time(estimate.layer), share_of(estimate.layer, estimate)}});
    return text;
}

std::string training_text(const Estimate& estimate) {
    const auto& parts = *estimate.parts;
    auto text =
        fmt::format("  {:.0f} tokens/s of all, {:.0f} of each GPU\n\n", estimate.tokens_per_s,
                    estimate.tokens_per_s / static_cast<double>(ranks_of(estimate)));
    const auto tensor = estimate.collective - parts.parameters;
    text += format_table(
        {{"part", "time", "share"},
         {"forward", format_time(parts.forward), share_of(parts.forward, estimate)},
         {"loss", format_time(parts.loss), share_of(parts.loss, estimate)},
         {"backward", format_time(parts.backward), share_of(parts.backward, estimate)},
         {"optimizer", format_time(parts.update), share_of(parts.update, estimate)},
         {"parameters, exposed", format_time(parts.exposed_parameters),
          share_of(parts.exposed_parameters, estimate)},
         {"parameters, beside compute", format_time(parts.parameters - parts.exposed_parameters),
          ""},
         {"of all, TP's collectives", format_time(tensor), share_of(tensor, estimate)}});
    return text;
}

}  // namespace

std::vector<std::vector<std::string>> rows_of_kinds(const std::vector<KindUse>& kinds,
                                                    const std::optional<Shares>& shares) {
    std::vector<std::vector<std::string>> rows{
        {"kind", "ranks", "share of each", "own compute", "memory", "capacity", "used"}};
    int from = 0;
    for (const auto& kind : kinds) {
        const auto ranks = kind.ranks == 1 ? std::to_string(from)
                                           : fmt::format("{} to {}", from, from + kind.ranks - 1);
        from += kind.ranks;
        const bool first = &kind == &kinds.front();
        const auto& memory = kind.memory;
        const double used = memory.capacity.value > 0 ? memory.total / memory.capacity : 1;
        rows.push_back({kind.device, ranks,
                        std::to_string(!shares ? 1
                                       : first ? shares->first
                                               : shares->rest),
                        format_time(kind.compute), format_bytes(memory.total),
                        format_bytes(memory.capacity),
                        fmt::format("{:.0f} %{}", 100 * used, memory.fits ? "" : ", too much")});
    }
    return rows;
}

std::vector<OpSum> sums_of_ops(const Estimate& estimate) {
    std::vector<OpSum> sums;
    std::map<std::string, std::size_t> sum_of;
    for (const auto& op : estimate.ops) {
        const auto bound = std::string(name_of(op.bound));
        const auto [it, inserted] = sum_of.emplace(op.name + bound, sums.size());
        if (inserted) sums.push_back({op.name, op.kind, bound, 0, {}});
        ++sums[it->second].count;
        sums[it->second].time += op.time;
    }
    std::ranges::stable_sort(sums, [](const auto& a, const auto& b) { return a.time > b.time; });
    return sums;
}

std::string estimate_text(const Estimate& estimate) {
    auto text = estimate.kinds ? fmt::format("{} on {}", estimate.model, estimate.hardware)
                               : fmt::format("{} on {} x {}", estimate.model, ranks_of(estimate),
                                             estimate.hardware);
    if (ranks_of(estimate) > 1) text += " over " + estimate.link;
    text += "\n";
    text += estimate.training ? training_settings_text(estimate) : settings_text(estimate);
    text += fmt::format("  step {}   90 % interval {} to {}   ({})\n", format_time(estimate.step),
                        format_time(estimate.interval_90[0]), format_time(estimate.interval_90[1]),
                        provenance_text(estimate));
    text += estimate.training ? training_text(estimate) : serving_text(estimate);
    text += ops_text(estimate) + memory_text(estimate);
    for (const auto& note : estimate.notes) text += "note: " + note + "\n";
    return text;
}

}  // namespace tplan
