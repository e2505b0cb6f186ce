#include "app/sweep.h"

#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "planner/planned_program.h"
#include "planner/requirements.h"
#include "planner/train_plan.h"

namespace tplan {
namespace {

void fill(SweepRow& row, const Totals& totals, std::int64_t gpus) {
    row.feasible = true;
    row.step.value = totals.step;
    row.interval_90.value = totals.interval_90;
    row.compute.value = totals.compute;
    row.collective.value = totals.collective;
    row.exposed_collective.value = totals.exposed_collective;
    row.launch.value = totals.launch;
    row.tokens_per_s.value = totals.tokens_per_s;
    row.tokens_per_s_per_gpu.value = totals.tokens_per_s / static_cast<double>(gpus);
    row.provenance.value = totals.provenance;
    row.domain.value = totals.domain;
    row.memory.value = totals.memory;
}

/// Marks the fastest row that fits and the speedups of one hardware, link and batch; says where
/// more GPUs stop paying.
std::string judge_group(std::span<SweepRow> rows) {
    SweepRow* best = nullptr;
    const SweepRow* base = nullptr;
    bool all_fit = true;
    for (auto& row : rows) {
        if (!row.feasible) continue;
        const bool fits = row.memory.value->fits;
        all_fit = all_fit && fits;
        if (!base || (fits && !base->memory.value->fits)) base = &row;
        if (fits && (!best || *row.step.value < *best->step.value)) best = &row;
    }
    for (auto& row : rows) {
        if (row.feasible) row.speedup.value = *base->step.value / *row.step.value;
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
    auto text = fmt::format("{}: TP {} is the fastest{}, {} a step ({:.2f}x of TP {})", place,
                            best->tp, all_fit ? "" : " that fits", format_time(*best->step.value),
                            *best->speedup.value, base->tp);
    if (next) {
        text += fmt::format(
            "; further GPUs stop paying there: TP {} takes {}, of which collectives {}", next->tp,
            format_time(*next->step.value), format_time(*next->collective.value));
    }
    return text;
}

/// The axes with the query's own values where they name none.
SweepAxes complete(SweepAxes axes, const Query& query, const Resolved& resolved) {
    if (resolved.request.training && resolved.request.training->mesh.tp != 1) {
        throw Error("--mesh", "tp stands beside --tp in a sweep",
                    "give the degrees with --tp, and --mesh without tp");
    }
    if (axes.batches.empty()) axes.batches.push_back(resolved.request.workload.batch);
    if (axes.hardware.empty()) axes.hardware.push_back(query.hardware);
    for (const int tp : axes.degrees) {
        for (const auto batch : axes.batches) {
            auto request = resolved.request;
            request.plan.tp = tp;
            if (request.training) request.training->mesh.tp = tp;
            request.workload.batch = batch;
            require_ranges(request, "");
        }
    }
    return axes;
}

/// One machine and link that a sweep prices its degrees on.
struct Place {
    const HardwareProfile& hardware;
    CostOptions cost;
    bool lacks_link = false;  // another profile of the sweep has it
};

void add_note(std::vector<std::string>& notes, std::string text) {
    if (!std::ranges::count(notes, text)) notes.push_back(std::move(text));
}

/// What of a row's price is another's, said of the row.
void note_substitutes(const SweepRow& row, const std::vector<std::string>& substitutes,
                      std::vector<std::string>& notes) {
    for (const auto& note : substitutes)
        add_note(notes, fmt::format("{} over {}, TP {}: {}", row.hardware, row.link, row.tp, note));
}

void refuse(SweepRow& row, const Feasibility& feasibility) {
    row.reason = first_message(feasibility);
}

void price_serving(SweepRow& row, const Place& place, const LoweredDegree& degree,
                   const Workload& workload, std::vector<std::string>& notes) {
    if (!works(degree)) return refuse(row, degree.feasibility);
    const auto priced = price_degree(degree, place.hardware, place.cost, workload);
    note_substitutes(row, priced.notes, notes);
    if (!priced.link.empty()) row.link = priced.link;
    fill(row, priced.totals, row.tp);
}

void price_training(SweepRow& row, const Place& place, const Resolved& resolved,
                    std::vector<std::string>& notes) {
    auto request = resolved.request;
    request.cost = place.cost;
    request.plan.tp = request.training->mesh.tp = row.tp;
    request.workload.batch = row.batch;
    const auto planned = plan_training(resolved.config, place.hardware, request);
    if (!planned.training) return refuse(row, planned.feasibility);
    const auto& made = *planned.training;
    note_substitutes(row, made.substitutes, notes);
    for (const auto& note : made.notes) add_note(notes, note);
    if (!made.link.empty()) row.link = made.link;
    fill(row, made.planned.totals, request.training->mesh.ranks());
}

SweepRow start_row(const Place& place, int tp, std::int64_t batch) {
    SweepRow row;
    row.hardware = place.hardware.name;
    row.link = place.cost.link;
    row.tp = tp;
    row.batch = batch;
    if (place.lacks_link) row.reason = fmt::format("{} has no {}", row.hardware, row.link);
    return row;
}

}  // namespace

SweepDocument sweep(const Query& query, const SweepAxes& asked) {
    const auto resolved = resolve(query);
    const auto axes = complete(asked, query, resolved);
    SweepDocument document;
    document.model = resolved.config.source;
    document.workload = resolved.request.workload;
    document.training = resolved.request.training;
    const auto model = build_model(resolved.config);
    std::map<int, LoweredDegree> degrees;
    for (const int tp : axes.degrees) {
        auto options = resolved.request.plan;
        options.tp = tp;
        degrees.try_emplace(tp, document.training ? LoweredDegree{}
                                                  : lower_degree(resolved.config, model, options,
                                                                 document.workload.dtype));
    }
    std::vector<HardwareProfile> machines;
    std::set<std::string> known_links;  // of any of them
    for (const auto& name : axes.hardware) {
        machines.push_back(load_hardware(name));
        for (const auto& link : link_names(machines.back())) known_links.insert(link);
    }
    for (const auto& hardware : machines) {
        const auto own_links = link_names(hardware);
        for (const auto& link : axes.links.empty() ? own_links : axes.links) {
            Place place{.hardware = hardware, .cost = resolved.request.cost};
            place.cost.link = link;
            place.lacks_link = !std::ranges::count(own_links, link) && known_links.contains(link);
            for (const auto batch : axes.batches) {
                const auto start = document.rows.size();
                auto workload = document.workload;
                workload.batch = batch;
                for (const auto& [tp, degree] : degrees) {
                    auto& row = document.rows.emplace_back(start_row(place, tp, batch));
                    if (place.lacks_link) continue;
                    if (document.training) {
                        price_training(row, place, resolved, document.notes);
                    } else {
                        price_serving(row, place, degree, workload, document.notes);
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
    auto text = fmt::format("{}: {}, {} {}, {}", document.model, name_of(work.phase),
                            work.phase == Phase::decode ? "context" : "input", work.cached_tokens(),
                            name_of(work.dtype));
    if (document.training) {
        const auto& mesh = document.training->mesh;
        text += fmt::format(", mesh dp_replicate={}, dp_shard={}, tp of each row",
                            mesh.dp_replicate, mesh.dp_shard);
    }
    text += "\n\n";
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
                        format_percent(*row.exposed_collective.value / *row.step.value),
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
