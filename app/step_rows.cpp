#include "app/step_rows.h"

#include <algorithm>

#include "app/explain.h"

namespace tplan {
namespace {

std::string time_text(Seconds time) {
    return time.value > 0 ? format_time(time) : "";
}
std::string bytes_text(Bytes bytes) {
    return bytes.value > 0 ? format_bytes(bytes) : "";
}

double error_in(const StepRow& row) {
    return error_of(row.together, row.measured);
}

template <auto member>
bool less(const StepRow& a, const StepRow& b) {
    return a.*member < b.*member;
}

constexpr std::size_t kMeasuredColumns = 2;
constexpr std::array kColumns = {
    StepColumn{"step", [](const StepRow& r) { return r.name; }, less<&StepRow::name>},
    StepColumn{"section", [](const StepRow& r) { return r.section; }, less<&StepRow::section>},
    StepColumn{"kind", [](const StepRow& r) { return r.kind; }, less<&StepRow::kind>},
    StepColumn{"times",
               [](const StepRow& r) { return r.times > 0 ? fmt::format("{:g}", r.times) : ""; },
               less<&StepRow::times>},
    StepColumn{"each", [](const StepRow& r) { return time_text(r.each); }, less<&StepRow::each>},
    StepColumn{"together", [](const StepRow& r) { return format_time(r.together); },
               less<&StepRow::together>},
    StepColumn{"share", [](const StepRow& r) { return format_percent(r.share); },
               less<&StepRow::share>},
    StepColumn{"FLOP",
               [](const StepRow& r) {
                   return r.flops.value > 0 ? in_words(r.flops.value, "") : std::string();
               },
               less<&StepRow::flops>},
    StepColumn{"bytes", [](const StepRow& r) { return bytes_text(r.bytes); },
               less<&StepRow::bytes>},
    StepColumn{"payload", [](const StepRow& r) { return bytes_text(r.payload); },
               less<&StepRow::payload>},
    StepColumn{"bound by", [](const StepRow& r) { return r.bound; }, less<&StepRow::bound>},
    StepColumn{"measured", [](const StepRow& r) { return time_text(r.measured); },
               less<&StepRow::measured>},
    StepColumn{"error",
               [](const StepRow& r) {
                   return r.measured.value > 0 ? format_percent(error_in(r)) : std::string();
               },
               [](const StepRow& a, const StepRow& b) { return error_in(a) < error_in(b); }}};

/// What the steps of that name took in the layers of the section.
Seconds measured_in(const Validation& validation, const Section& section, const std::string& name) {
    Seconds sum;
    for (const auto& op : validation.measured.ops) {
        if (op.id == name) {
            sum += op.time;
            continue;
        }
        for (const int layer : section.layers) {
            if (op.id == fmt::format("layers.{}.{}", layer, name)) sum += op.time;
        }
    }
    return sum;
}

}  // namespace

std::span<const StepColumn> step_columns(bool measured) {
    return std::span(kColumns).first(kColumns.size() - (measured ? 0 : kMeasuredColumns));
}

std::vector<StepRow> step_rows(const Study& study) {
    std::vector<StepRow> rows;
    if (!study.lowered->program) return rows;
    const auto& program = *study.lowered->program;
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        const auto& section = program.sections[s];
        for (std::size_t i = 0; i < section.steps.size(); ++i) {
            const auto& step = section.steps[i];
            const auto& priced = study.steps[s][i];
            auto& row = rows.emplace_back();
            row.name = step.name;
            row.section = section.name;
            row.kind = name_of(step.kind);
            row.bound = name_of(priced.cost.bound);
            row.times = priced.repeats;
            row.each = priced.cost.time;
            row.together = priced.cost.time * priced.repeats;
            row.share = row.together / study.totals->step;
            row.flops = priced.cost.flops;
            row.bytes = priced.cost.bytes;
            row.payload = priced.cost.payload;
            if (study.validation) row.measured = measured_in(*study.validation, section, row.name);
        }
    }
    return rows;
}

std::vector<StepRow> filtered(std::vector<StepRow> rows, std::string_view filter) {
    std::erase_if(rows,
                  [&](const StepRow& row) { return row.name.find(filter) == std::string::npos; });
    return rows;
}

void sort_rows(std::vector<StepRow>& rows, std::size_t column, bool descending) {
    const auto before = kColumns.at(column).before;
    std::ranges::stable_sort(rows, [&](const StepRow& a, const StepRow& b) {
        return descending ? before(b, a) : before(a, b);
    });
}

StepRow sum_of(const std::vector<StepRow>& rows) {
    StepRow sum;
    sum.name = "sum";
    sum.times = 0;
    for (const auto& row : rows) {
        sum.together += row.together;
        sum.share += row.share;
        sum.measured += row.measured;
    }
    return sum;
}

std::string csv_of(const std::vector<StepRow>& rows) {
    std::string text =
        "step,section,kind,times,each_s,together_s,flops,bytes,payload_bytes,bound,measured_s\n";
    for (const auto& row : rows) {
        text += fmt::format("{},{},{},{},{},{},{},{},{},{},{}\n", row.name, row.section, row.kind,
                            row.times, row.each.value, row.together.value, row.flops.value,
                            row.bytes.value, row.payload.value, row.bound, row.measured.value);
    }
    return text;
}

}  // namespace tplan
