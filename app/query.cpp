#include "app/query.h"

#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "app/training.h"
#include "planner/planned_program.h"
#include "planner/requirements.h"

namespace tplan {
namespace {

void fill(SweepRow& row, const Totals& totals, int gpus) {
    row.feasible = true;
    row.step.value = totals.step;
    row.interval_90.value = totals.interval_90;
    row.compute.value = totals.compute;
    row.collective.value = totals.collective;
    row.exposed_collective.value = totals.exposed_collective;
    row.launch.value = totals.launch;
    row.tokens_per_s.value = totals.tokens_per_s;
    row.tokens_per_s_per_gpu.value = totals.tokens_per_s / gpus;
    row.provenance.value = totals.provenance;
    row.domain.value = totals.domain;
    row.memory.value = totals.memory;
}

/// A row of training, at the row's degree and batch.
void fill_training(SweepRow& row, const Resolved& resolved, const HardwareProfile& hardware,
                   const CostOptions& cost, std::vector<std::string>& notes) {
    auto request = resolved.request;
    request.cost = cost;
    const auto result = train_at(resolved.config, hardware, request, row.tp, cost.link, row.batch);
    if (!result.training) {
        const auto& violations = result.feasibility.violations;
        row.reason = violations.empty() ? "infeasible" : violations[0].message;
        return;
    }
    const auto& made = *result.training;
    const auto& mesh = *made.planned.program.mesh;
    fill(row, made.planned.totals, static_cast<int>(mesh.ranks()));
    if (!made.link.empty()) row.link = made.link;
    for (const auto& note : made.notes) {
        auto text = fmt::format("{} over {}, TP {}: {}", row.hardware, cost.link, row.tp, note);
        if (std::ranges::find(notes, text) == notes.end()) notes.push_back(std::move(text));
    }
}

/// Marks the fastest row that fits and the speedups of one hardware, link and batch; says where
/// more GPUs stop paying.
std::string judge_group(std::span<SweepRow> rows) {
    SweepRow* best = nullptr;
    const SweepRow* base = nullptr;
    for (auto& row : rows) {
        if (!row.feasible) continue;
        if (!base) base = &row;
        row.speedup.value = *base->step.value / *row.step.value;
        if (row.memory.value->fits && (!best || *row.step.value < *best->step.value)) best = &row;
    }
    const auto& first = rows.front();
    const auto place = fmt::format("{} over {}, batch {}", first.hardware, first.link, first.batch);
    if (!base) return place + ": no degree works";
    if (!best) return place + ": no degree fits in memory";
    best->best = true;
    const SweepRow* next = nullptr;
    for (const auto& row : rows) {
        if (row.feasible && row.tp > best->tp && !next) next = &row;
    }
    auto text = fmt::format("{}: TP {} is fastest, {} a step ({:.2f}x of TP {})", place, best->tp,
                            format_time(*best->step.value), *best->speedup.value, base->tp);
    if (next) {
        text += fmt::format("; TP {} stops paying: {} a step, of which all-reduce and gathers {}",
                            next->tp, format_time(*next->step.value),
                            format_time(*next->collective.value));
    }
    return text;
}

}  // namespace

std::optional<TpPlan> plan_by_hand(const ModelConfig& config, const std::string& file) {
    if (file.empty()) return std::nullopt;
    require_no_device_map(config);
    return read_tp_plan(file);
}

Resolved resolve(const Query& query) {
    Resolved resolved{load_model_config(query.model), load_hardware(query.hardware), query.request};
    require_graph(resolved.config);
    require_no_device_map(resolved.config);
    require_positions(resolved.config, resolved.request.workload);
    auto& request = resolved.request;
    auto& workload = request.workload;
    workload.dtype = query.dtype.value_or(resolved.config.dtype);
    workload.kv_dtype = query.kv_dtype.value_or(workload.dtype);
    require_ranges(resolved.request, "");
    request.plan.tp_plan = plan_by_hand(resolved.config, query.tp_plan_file);
    require_devices(resolved.hardware, request.plan.tp, request.cost.nodes);
    return resolved;
}

EstimateResult estimate(const Resolved& resolved) {
    const auto& request = resolved.request;
    if (request.training) {
        auto trained = plan_training(resolved.config, resolved.hardware, request);
        EstimateResult result{{}, std::move(trained.feasibility)};
        if (!trained.training) return result;
        result.estimate = training_estimate(resolved.config.source, *trained.training,
                                            resolved.hardware, request);
        return result;
    }
    const auto model = build_model(resolved.config);
    auto planned = plan_program(resolved.config, model, request.plan, resolved.hardware,
                                request.cost, request.workload);
    EstimateResult result{{}, std::move(planned.feasibility)};
    if (!planned.program) return result;
    result.estimate =
        make_estimate(resolved.config.source, planned.program->program, resolved.hardware,
                      request.plan, request.cost, request.workload);
    return result;
}

std::vector<int> working_degrees_of(const Resolved& resolved) {
    const auto verdict = tp_verdict(resolved.config, resolved.request.plan.transformers);
    return working_degrees(resolved.config, verdict, resolved.request.plan);
}

std::string infeasible_text(const Feasibility& feasibility, const std::vector<int>& working) {
    std::string text;
    for (const auto& violation : feasibility.violations) {
        text += fmt::format("{}: {}: {} ({}); ", violation.subject, violation.code,
                            violation.message, violation.have);
    }
    if (!feasibility.remedies.empty())
        text += "remedies: " + join(feasibility.remedies, ", ") + "; ";
    text += fmt::format("degrees that work: {}", fmt::join(working, " "));
    return text;
}

std::string estimate_text(const Estimate& estimate) {
    if (estimate.training) return training_text(estimate);
    const auto& work = estimate.workload;
    auto text = fmt::format("{} on {} x {}", estimate.model, estimate.tp, estimate.hardware);
    if (estimate.tp > 1) text += " over " + estimate.link;
    text += "\n";
    text += fmt::format("  {}, batch {}, {} {}, {}, KV {}, kernels {}, layout {}\n",
                        name_of(work.phase), work.batch,
                        work.phase == Phase::decode ? "context" : "input", work.cached_tokens(),
                        name_of(work.dtype), name_of(work.kv_dtype), name_of(estimate.kernels),
                        name_of(estimate.layout));
    text +=
        fmt::format("  step {}   90 % interval {} to {}   ({}, {})\n", format_time(estimate.step),
                    format_time(estimate.interval_90[0]), format_time(estimate.interval_90[1]),
                    name_of(estimate.provenance), name_of(estimate.domain));
    text += fmt::format("  {:.0f} tokens/s of the group; isolated time {} {}\n\n",
                        estimate.tokens_per_s,
                        work.phase == Phase::decode ? "per output token" : "to first token",
                        format_time(estimate.step));
    const auto share = [&](Seconds part) { return format_percent(part / estimate.step); };
    text += format_table(
        {{"part", "time", "share"},
         {"compute", format_time(estimate.compute), share(estimate.compute)},
         {"communication", format_time(estimate.collective), share(estimate.collective)},
         {"of both, launch", format_time(estimate.launch), share(estimate.launch)},
         {"mean layer", format_time(estimate.layer), share(estimate.layer)}});

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
                         format_time(row.time / row.count), format_time(row.time), share(row.time),
                         row.bound});
    }
    text += "\n" + format_table(table);

    const auto& memory = estimate.memory;
    text += "\n" + format_table({{"memory per GPU", "bytes"},
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
    for (const auto& note : estimate.notes) text += "note: " + note + "\n";
    return text;
}

SweepDocument sweep(const Query& query, const SweepAxes& axes) {
    const auto resolved = resolve(query);
    if (resolved.request.training && resolved.request.training->mesh.tp != 1) {
        throw Error("--mesh", "tp stands beside --tp in a sweep",
                    "give the degrees with --tp, and --mesh without tp");
    }
    for (const int tp : axes.degrees) {
        for (const auto batch : axes.batches) {
            auto request = resolved.request;
            request.plan.tp = tp;
            if (request.training) request.training->mesh.tp = tp;
            request.workload.batch = batch;
            require_ranges(request, "");
        }
    }
    SweepDocument document;
    document.model = resolved.config.source;
    document.workload = resolved.request.workload;
    document.training = resolved.request.training;
    const auto model = build_model(resolved.config);
    std::map<int, LoweredDegree> degrees;
    for (const int tp : axes.degrees) {
        auto options = resolved.request.plan;
        options.tp = tp;
        if (document.training) {
            degrees.try_emplace(tp);
            continue;
        }
        degrees.try_emplace(tp,
                            lower_degree(resolved.config, model, options, document.workload.dtype));
    }
    auto batches = axes.batches;
    if (batches.empty()) batches.push_back(document.workload.batch);
    auto names = axes.hardware;
    if (names.empty()) names.push_back(query.hardware);
    std::set<std::string> known_links;  // of any of the profiles
    for (const auto& name : names) {
        for (const auto& link : link_names(load_hardware(name))) known_links.insert(link);
    }
    for (const auto& name : names) {
        const auto hardware = load_hardware(name);
        const auto own_links = link_names(hardware);
        for (const auto& link : axes.links.empty() ? own_links : axes.links) {
            auto cost = resolved.request.cost;
            cost.link = link;
            const bool lacks_link =
                !std::ranges::count(own_links, link) && known_links.contains(link);
            for (const auto batch : batches) {
                const auto start = document.rows.size();
                for (const auto& [tp, degree] : degrees) {
                    auto& row = document.rows.emplace_back();
                    row.hardware = hardware.name;
                    row.link = link;
                    row.tp = tp;
                    row.batch = batch;
                    if (lacks_link) {
                        row.reason = fmt::format("{} has no {}", hardware.name, link);
                        continue;
                    }
                    if (document.training) {
                        fill_training(row, resolved, hardware, cost, document.notes);
                        continue;
                    }
                    if (!degree.program && !degree.space) {
                        const auto& violations = degree.feasibility.violations;
                        row.reason = violations.empty() ? "infeasible" : violations[0].message;
                        continue;
                    }
                    auto workload = document.workload;
                    workload.batch = batch;
                    const auto priced = price_degree(degree, hardware, cost, workload);
                    if (!priced.link.empty()) row.link = priced.link;
                    fill(row, priced.totals, tp);
                    for (const auto& note : priced.notes) {
                        auto text =
                            fmt::format("{} over {}, TP {}: {}", hardware.name, link, tp, note);
                        if (std::ranges::find(document.notes, text) == document.notes.end())
                            document.notes.push_back(std::move(text));
                    }
                }
                document.findings.push_back(judge_group(std::span(document.rows).subspan(start)));
            }
        }
    }
    return document;
}

std::string sweep_text(const SweepDocument& document) {
    const auto& work = document.workload;
    auto text = fmt::format("{}: {}, {} {}, {}\n\n", document.model, name_of(work.phase),
                            work.phase == Phase::decode ? "context" : "input", work.cached_tokens(),
                            name_of(work.dtype));
    std::vector<std::vector<std::string>> rows{{"hardware", "link", "TP", "batch", "step",
                                                "90 % interval", "comm", "speedup", "tokens/s/GPU",
                                                "memory", ""}};
    for (const auto& row : document.rows) {
        if (!row.feasible) {
            rows.push_back({row.hardware, row.link, std::to_string(row.tp),
                            std::to_string(row.batch), "-", "", "", "", "", "", row.reason});
            continue;
        }
        const auto& interval = *row.interval_90.value;
        const auto& memory = *row.memory.value;
        rows.push_back({row.hardware, row.link, std::to_string(row.tp), std::to_string(row.batch),
                        format_time(*row.step.value),
                        format_time(interval[0]) + " - " + format_time(interval[1]),
                        format_percent(*row.collective.value / *row.step.value),
                        fmt::format("{:.2f}", *row.speedup.value),
                        fmt::format("{:.0f}", *row.tokens_per_s_per_gpu.value),
                        format_bytes(memory.total),
                        row.best      ? "best"
                        : memory.fits ? ""
                                      : "does not fit"});
    }
    text += format_table(rows) + "\n";
    for (const auto& finding : document.findings) text += finding + "\n";
    for (const auto& note : document.notes) text += "note: " + note + "\n";
    return text;
}

std::string sweep_csv(const SweepDocument& document) {
    std::string text =
        "hardware,link,tp,batch,feasible,step_s,low_s,high_s,compute_s,collective_s,tokens_per_s,"
        "speedup,"
        "total_bytes,fits,best\n";
    for (const auto& row : document.rows) {
        text +=
            fmt::format("{},{},{},{},{}", row.hardware, row.link, row.tp, row.batch, row.feasible);
        if (row.feasible) {
            text +=
                fmt::format(",{},{},{},{},{},{},{},{},{},{}", row.step.value->value,
                            (*row.interval_90.value)[0].value, (*row.interval_90.value)[1].value,
                            row.compute.value->value, row.collective.value->value,
                            *row.tokens_per_s.value, *row.speedup.value,
                            row.memory.value->total.value, row.memory.value->fits, row.best);
        } else {
            text += ",,,,,,,,,,";
        }
        text += "\n";
    }
    return text;
}

}  // namespace tplan
