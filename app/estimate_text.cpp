#include "app/estimate_text.h"

#include <algorithm>
#include <map>

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
    text += fmt::format("  {:g} of the memory may be used, {} of that kept free",
                        options.memory_fraction, format_bytes(options.reserve));
    if (options.collectives.value && estimate.tp > 1)
        text += fmt::format("; collectives {}", name_of(*options.collectives.value));
    text += "; " + sampling_text(estimate);
    if (work.dtype == DType::fp8)
        text += fmt::format("; {} activation scales", options.quant_dynamic ? "dynamic" : "static");
    return text + "\n";
}

std::string ops_text(const Estimate& estimate) {
    struct Row {
        std::string name, kind, bound;
        int count = 0;
        Seconds time;
    };
    std::vector<Row> rows;
    std::map<std::string, std::size_t> row_of;
    for (const auto& op : estimate.ops) {
        const auto [it, inserted] =
            row_of.emplace(op.name + std::string(name_of(op.bound)), rows.size());
        if (inserted) rows.push_back({op.name, op.kind, std::string(name_of(op.bound)), 0, {}});
        ++rows[it->second].count;
        rows[it->second].time += op.time;
    }
    std::ranges::stable_sort(rows, [](const Row& a, const Row& b) { return a.time > b.time; });
    std::vector<std::vector<std::string>> table{
        {"op", "kind", "times", "each", "together", "share", "bound by"}};
    for (const auto& row : rows) {
        table.push_back({row.name, row.kind, std::to_string(row.count),
                         format_time(row.time / row.count), format_time(row.time),
                         share_of(row.time, estimate), row.bound});
    }
    return "\n" + format_table(table);
}

std::string memory_text(const Estimate& estimate) {
    const auto& memory = estimate.memory;
    auto text = "\n" + format_table({{"memory per GPU", "bytes"},
                                     {"weights", format_bytes(memory.weights)},
                                     {"KV cache", format_bytes(memory.kv_cache)},
                                     {"activations", format_bytes(memory.activations)},
                                     {"logits", format_bytes(memory.logits)},
                                     {"communication", format_bytes(memory.communication)},
                                     {"workspace", format_bytes(memory.workspace)},
                                     {"total", format_bytes(memory.total)},
                                     {"capacity", format_bytes(memory.capacity)}});
    text += fmt::format("{}; largest batch {} at this length, longest context {} at this batch\n",
                        memory.fits ? "fits" : "DOES NOT FIT", format_count(memory.max_batch),
                        format_count(memory.max_context));
    return text;
}

}  // namespace

std::string estimate_text(const Estimate& estimate) {
    const auto& work = estimate.workload;
    auto text = fmt::format("{} on {} x {}", estimate.model, estimate.tp, estimate.hardware);
    if (estimate.tp > 1) text += " over " + estimate.link;
    text += "\n";
    text += settings_text(estimate);
    text += fmt::format("  step {}   90 % interval {} to {}   ({})\n", format_time(estimate.step),
                        format_time(estimate.interval_90[0]), format_time(estimate.interval_90[1]),
                        provenance_text(estimate));
    text += fmt::format("  {:.0f} tokens/s of the group; isolated time {} {}\n\n",
                        estimate.tokens_per_s,
                        work.phase == Phase::decode ? "per output token" : "to first token",
                        format_time(estimate.step));
    text += format_table(
        {{"part", "time", "share"},
         {"compute", format_time(estimate.compute), share_of(estimate.compute, estimate)},
         {"communication", format_time(estimate.collective),
          share_of(estimate.collective, estimate)},
         {"of both, launch", format_time(estimate.launch), share_of(estimate.launch, estimate)},
         {"mean layer", format_time(estimate.layer), share_of(estimate.layer, estimate)}});

    text += ops_text(estimate) + memory_text(estimate);
    for (const auto& note : estimate.notes) text += "note: " + note + "\n";
    return text;
}

}  // namespace tplan
