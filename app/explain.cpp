#include "app/explain.h"

#include <algorithm>

namespace tplan {
namespace {

std::string sources_of(const HardwareProfile& hardware, std::vector<std::string> keys) {
    std::vector<std::string> words;
    for (const auto& key : keys) {
        for (const auto& [name, source] : hardware.sources) {
            if (name == key) words.push_back(fmt::format("{}: {}", key, name_of(source.kind)));
        }
    }
    return join(words, ", ");
}

std::string peak_key(const HardwareProfile& hardware, DType dtype) {
    return fmt::format("peaks/{}", name_of(usable_dtype(hardware, dtype)));
}

std::vector<std::string> explain_collective(const Study& study, const Step& step,
                                            const PricedStep& priced) {
    const auto& cost = priced.cost;
    const int ranks = study.request.plan.tp;
    const auto& link = study.request.cost.link;
    std::vector<std::string> lines{fmt::format("payload: {} rows x {} columns = {}",
                                               study.request.workload.rows(step.rows), step.n,
                                               format_bytes(cost.payload))};
    for (const auto& row : collective_costs()) {
        if (row.op != step.kind || row.algorithm != priced.algorithm) continue;
        lines.push_back(fmt::format(
            "{} over {} ranks: {:g} hops, {:.3g} x payload = {} over the link of a GPU ({})",
            row.algorithm, ranks, row.steps(ranks), row.wire(ranks),
            format_bytes(cost.payload * row.wire(ranks)), row.source));
        break;
    }
    lines.push_back(fmt::format("{} = launch {} + hops and transfer {}", format_time(cost.time),
                                format_time(cost.launch), format_time(cost.time - cost.launch)));
    lines.push_back(sources_of(*study.hardware,
                               {"links/" + link + "/bytes_per_s", "links/" + link + "/latency_s"}));
    return lines;
}

std::vector<std::string> explain_compute(const Study& study, const Step& step,
                                         const PricedStep& priced) {
    const auto& hardware = *study.hardware;
    const auto& cost = priced.cost;
    std::vector<std::string> lines, keys{"memory_bytes_per_s"};
    const bool product = step.kind == OpKind::linear || step.kind == OpKind::moe_router;
    const bool arithmetic =
        product || step.kind == OpKind::attention || step.kind == OpKind::moe_experts;
    auto flops = "arithmetic: " + in_words(cost.flops.value, "FLOP");
    if (product) {
        flops = fmt::format("arithmetic: 2 x {} rows x {} x {} = {}",
                            study.request.workload.rows(step.rows), step.n, step.k,
                            in_words(cost.flops.value, "FLOP"));
    }
    // The launch aside: what the device achieves beside what it could.
    const auto working = std::max(cost.time - cost.launch, Seconds(1e-12));
    std::string achieved = fmt::format("{:.0f} % of the bandwidth",
                                       100 * (cost.bytes / working / hardware.memory_bandwidth));
    if (arithmetic) {
        const auto dtype = step.kind == OpKind::attention
                               ? stored_dtype(step.dtype)
                               : compute_dtype(hardware, step.weight_dtype, step.dtype);
        const auto peak = peak_rate(hardware, dtype);
        flops += fmt::format(", {} at the peak of {}", format_time(cost.flops / peak),
                             format_flop_rate(peak));
        achieved += fmt::format(" and {:.0f} % of the peak", 100 * (cost.flops / working / peak));
        keys.push_back(peak_key(hardware, dtype));
    }
    lines.push_back(std::move(flops));
    lines.push_back(fmt::format("traffic: {}, {} at {}", format_bytes(cost.bytes),
                                format_time(cost.bytes / hardware.memory_bandwidth),
                                format_bandwidth(hardware.memory_bandwidth)));
    lines.push_back(fmt::format("{}, of which launch {}; the rest reaches {}; bound by {}",
                                format_time(cost.time), format_time(cost.launch), achieved,
                                name_of(cost.bound)));
    lines.push_back(sources_of(hardware, keys));
    return lines;
}

void add_flag(std::string& text, std::string_view flag, const std::string& value) {
    text += fmt::format(" {} {}", flag, value);
}

/// A word a shell takes as it is, quoted where it must be.
std::string shell_word(const std::string& text) {
    const bool plain = !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
        return std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '/' || c == ':';
    });
    if (plain) return text;
    std::string quoted = "'";
    for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
}

}  // namespace

std::string in_words(double count, std::string_view unit) {
    constexpr std::array<std::pair<double, std::string_view>, 4> kScales{
        {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}}};
    for (const auto& [factor, prefix] : kScales) {
        if (count >= factor) return fmt::format("{:.3g} {}{}", count / factor, prefix, unit);
    }
    return fmt::format("{:.3g} {}", count, unit);
}

std::vector<std::string> explain_step(const Study& study, int section, int step) {
    const auto s = static_cast<std::size_t>(section), i = static_cast<std::size_t>(step);
    const auto& what = study.lowered->program->sections[s].steps[i];
    const auto& priced = study.steps[s][i];
    auto lines = is_collective(what.kind) ? explain_collective(study, what, priced)
                                          : explain_compute(study, what, priced);
    if (lines.back().empty()) lines.pop_back();
    lines.push_back(fmt::format("{}, {}; within {:.0f} % in nine of ten cases",
                                name_of(priced.cost.provenance), name_of(priced.cost.domain),
                                priced.cost.half_width * 100));
    return lines;
}

std::vector<MemoryLine> explain_memory(const Study& study) {
    if (!study.totals) return {};
    const auto& memory = study.totals->memory;
    const auto& work = study.request.workload;
    const auto& options = study.request.cost;
    return {
        {"weights", memory.weights, "the rank with most bytes; a tied parameter once"},
        {"KV cache", memory.kv_cache,
         fmt::format("{} sequences x {} tokens x local columns of K and V x {} bytes, over all "
                     "layers; a sliding window keeps no more than it sees",
                     work.batch, work.cached_tokens(), bytes_of(work.kv_dtype))},
        {"activations", memory.activations, "the widest moment of any section"},
        {"logits", memory.logits,
         study.request.plan.sampling == Sampling::greedy
             ? "outputs of the head and its candidates, pairs in fp32"
             : "outputs of the head and an fp32 copy of the last"},
        {"communication", memory.communication, "buffers of the collectives; none on one rank"},
        {"workspace", memory.workspace, "libraries' scratch, from the profile"},
        {"total", memory.total,
         fmt::format("sum; {} to {} in nine of ten cases", format_bytes(memory.interval_90[0]),
                     format_bytes(memory.interval_90[1]))},
        {"may use", memory.capacity,
         fmt::format("{} x {:g}{}", format_bytes(study.hardware->memory), options.memory_fraction,
                     options.reserve.value > 0 ? " - " + format_bytes(options.reserve) : "")}};
}

std::vector<TotalLine> explain_totals(const Study& study) {
    if (!study.totals) return {};
    const auto& totals = *study.totals;
    const auto share = [&](Seconds part) { return format_percent(part / totals.step); };
    const bool decode = study.request.workload.phase == Phase::decode;
    return {
        {decode ? "isolated time per output token" : "isolated time to the first token",
         format_time(totals.step),
         fmt::format("sum of all steps; {} to {} in nine of ten cases",
                     format_time(totals.interval_90[0]), format_time(totals.interval_90[1]))},
        {"compute", format_time(totals.compute),
         share(totals.compute) + " of the step, launches included"},
        {"collectives", format_time(totals.collective),
         share(totals.collective) + " of the step, launches included; not overlapped with compute"},
        {"launches", format_time(totals.launch), share(totals.launch) + " of the step, in both"},
        {"mean layer", format_time(totals.layer), "steps of the layers over their number"},
        {"tokens per second", fmt::format("{:.0f}", totals.tokens_per_s),
         fmt::format("of the group; {:.0f} per GPU", totals.tokens_per_s / study.request.plan.tp)},
        {"provenance", std::string(name_of(totals.provenance)),
         fmt::format("the weakest of its parts; {}", name_of(totals.domain))}};
}

std::vector<std::string> explain_layout(const Study& study) {
    std::vector<std::string> lines;
    const auto& lowering = *study.lowered;
    const auto& options = study.request.plan;
    if (options.tp_plan) return lines;
    if (lowering.layout.empty()) {
        lines.emplace_back("as transformers splits it");
        return lines;
    }
    if (lowering.certificate) {
        const auto& proof = *lowering.certificate;
        auto line = fmt::format("searched among 10^{:.0f} layouts", proof.log10_layouts);
        if (proof.exact) {
            line += ": none within memory is faster";
        } else {
            line += fmt::format(": none is more than {} faster", format_percent(proof.gap));
        }
        lines.push_back(std::move(line));
    }
    if (options.tp == 1 || !study.hf) return lines;
    const auto& hf = *study.hf;
    if (!hf.feasible) {
        lines.push_back("transformers' own plan does not work: " + hf.reason);
    } else if (!*hf.fits.value) {
        lines.emplace_back("transformers' own plan does not fit");
    } else if (hf.differences.empty()) {
        lines.emplace_back("transformers' own plan is the same");
    } else {
        lines.push_back(fmt::format("transformers' own plan takes {} ({:+.1f} %)",
                                    format_time(*hf.step.value),
                                    100 * (*hf.step.value / study.totals->step - 1)));
    }
    return lines;
}

std::string command_line(const Study& study, std::string_view command) {
    const auto& request = study.request;
    const auto& work = request.workload;
    auto text = fmt::format("tplan {} {} --hw {}", command, shell_word(study.config->source),
                            shell_word(study.hardware->name));
    if (command == "sweep") {
        add_flag(text, "--tp", fmt::format("{}", fmt::join(study.working, ",")));
    } else {
        add_flag(text, "--tp", std::to_string(request.plan.tp));
        add_flag(text, "--link", request.cost.link);
    }
    add_flag(text, "--phase", std::string(name_of(work.phase)));
    add_flag(text, "--batch", std::to_string(work.batch));
    const bool decode = work.phase == Phase::decode;
    add_flag(text, decode ? "--context" : "--input",
             std::to_string(decode ? work.context : work.input));
    add_flag(text, "--dtype", std::string(name_of(work.dtype)));
    if (work.kv_dtype != work.dtype)
        add_flag(text, "--kv-dtype", std::string(name_of(work.kv_dtype)));
    if (request.plan.layout != LayoutChoice::best)
        add_flag(text, "--layout", std::string(name_of(request.plan.layout)));
    if (request.plan.kernels != Kernels::served)
        add_flag(text, "--kernels", std::string(name_of(request.plan.kernels)));
    if (request.plan.sampling != Sampling::logits)
        add_flag(text, "--sampling", std::string(name_of(request.plan.sampling)));
    if (request.cost.nodes != 1) add_flag(text, "--nodes", std::to_string(request.cost.nodes));
    if (request.cost.collectives.value)
        add_flag(text, "--collectives", std::string(name_of(*request.cost.collectives.value)));
    if (request.cost.memory_fraction != 0.9)
        add_flag(text, "--memory-fraction", fmt::format("{:g}", request.cost.memory_fraction));
    return text;
}

}  // namespace tplan
