// Predictions against measured rows that are not part of the project: in the folder TPLAN_MEASURED.
// What is recorded under tests/golden holds errors only.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "app/accuracy.h"
#include "core/csv.h"
#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"
#include "tests/support/temp_dir.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// One call of `tplan accuracy`; of a file that may not be there.
struct Judgement {
    std::string hardware, file;
    std::vector<std::string> filter{};
    bool tables = false;  // over tables of four fifths of the rows, on the fifth left out
};

std::vector<Judgement> judgements() {
    std::vector<Judgement> all;
    for (const std::string hardware : {"a100-sxm", "h100-sxm", "l40s"}) {
        auto system = hardware;
        std::ranges::replace(system, '-', '_');
        for (const std::string framework : {"trtllm", "vllm"}) {
            for (const std::string op : {"gemm", "attention", "moe"}) {
                const auto file = op + "_" + system + "_" + framework + ".csv";
                all.push_back({hardware, file});
                if (op != "moe") all.push_back({hardware, file, {"--where", "l2=cold"}});
                all.push_back({hardware, file, {}, true});
            }
        }
        all.push_back({hardware, "collectives.csv", {"--system", system}});
        const auto gpu = hardware.substr(0, hardware.find('-'));
        for (const auto* file : {"vidur_mlp_ops.csv", "tp_speedup_groundtruth.csv"}) {
            if (gpu != "l40s") all.push_back({hardware, file, {"--where", "gpu=" + gpu}});
        }
    }
    return all;
}

std::string measured_folder() {
    const char* set = std::getenv("TPLAN_MEASURED");
    return set != nullptr ? set : "";
}

/// What `./dev accuracy` asks for beside the comparison: "print" the figures, "record" them.
std::string asked() {
    const char* set = std::getenv("TPLAN_ACCURACY");
    return set != nullptr ? set : "";
}

/// What a shape is, without how often it is used: whole shapes are left out, as a model's own are
/// not in any table.
std::string shape_of(const CsvTable& table, std::size_t row) {
    static const std::set<std::string> kShape = {"n",        "k",     "num_heads", "num_kv_heads",
                                                 "head_dim", "inter", "hidden",    "num_experts"};
    std::string shape;
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
        if (kShape.contains(table.columns[c])) shape += std::string(table.cell(row, c)) + " ";
    }
    return shape;
}

/// Rows with the header; every fifth shape, in the order of their names, or all the others.
std::string part_of(const CsvTable& table, bool left_out) {
    std::map<std::string, int> shapes;
    for (std::size_t r = 0; r < table.rows(); ++r) shapes[shape_of(table, r)] = 0;
    int i = 0;
    for (auto& [shape, index] : shapes) index = i++;
    std::string text = fmt::format("{}\n", fmt::join(table.columns, ","));
    for (std::size_t r = 0; r < table.rows(); ++r) {
        if ((shapes[shape_of(table, r)] % 5 == 2) != left_out) continue;
        for (std::size_t c = 0; c < table.columns.size(); ++c)
            text += fmt::format("{}{}", c > 0 ? "," : "", table.cell(r, c));
        text += '\n';
    }
    return text;
}

AccuracyDocument judge(const Judgement& j, const std::string& path) {
    const TempDir folder;
    auto hardware = j.hardware, file = path;
    ProcessOptions patient;
    patient.limit = std::chrono::seconds(300);
    if (j.tables) {
        const auto table = load_csv(path);
        const auto rest = folder.file("rest.csv", part_of(table, false));
        file = folder.file("left_out.csv", part_of(table, true));
        hardware = folder / "tables.json";
        const auto laid =
            run_tplan({"calibrate", "--from", rest, "--hw", j.hardware, "-o", hardware}, patient);
        INFO(laid.err);
        REQUIRE(laid.exit_code == 0);
    }
    std::vector<std::string> arguments{"accuracy", "--hw", hardware, file, "--json"};
    arguments.insert(arguments.end(), j.filter.begin(), j.filter.end());
    const auto result = run_tplan(arguments, patient);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    auto document = from_json<AccuracyDocument>(parse_json(result.out, "stdout"), "stdout");
    document.hardware = j.hardware + (j.tables ? " with tables" : "");
    document.file = j.file;
    for (const auto& word : j.filter) document.file += " " + word;
    return document;
}

struct Record {
    std::vector<AccuracyDocument> documents;
    static void fields(auto& self, auto&& field) { field("documents", self.documents); }
};

/// Three digits: enough to tell a change, and no more than the rows' own noise.
void round_figures(AccuracyDocument& document) {
    for (auto& g : document.groups) {
        for (auto* value :
             {&g.mape, &g.median_ape, &g.p90_ape, &g.bias, &g.coverage_90, &g.half_width_90})
            *value = std::round(*value * 1e4) / 1e4;
    }
}

/// One table in Markdown, as README shows parts of it.
std::string markdown(const std::vector<AccuracyDocument>& documents) {
    std::string text =
        "| profile | rows | op | dtype | regime | n | MAPE | median | P90 | bias | inside 90 % | "
        "half width |\n|---|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|\n";
    for (const auto& document : documents) {
        for (const auto& g : document.groups) {
            text += fmt::format(
                "| {} | {} | {} | {} | {} | {} | {:.1f} % | {:.1f} % | {:.1f} % | {:.3f} | "
                "{:.0f} % | {:.1f} % |\n",
                document.hardware, g.impl.empty() ? document.file : g.impl, g.op, g.dtype, g.regime,
                g.n, 100 * g.mape, 100 * g.median_ape, 100 * g.p90_ape, g.bias, 100 * g.coverage_90,
                100 * g.half_width_90);
        }
    }
    return text;
}

constexpr double kWorse = 1.02, kNoise = 0.001;  // of an error, and added to it
constexpr double kBiasWorse = 0.01, kCoverageLost = 0.01, kWider = 1.05;

void compare(const AccuracyGroup& now, const AccuracyGroup& before) {
    INFO(fmt::format("{} {} {} {}", now.op, now.dtype, now.impl, now.regime));
    CHECK(now.mape <= before.mape * kWorse + kNoise);
    CHECK(now.p90_ape <= before.p90_ape * kWorse + 2 * kNoise);
    CHECK(std::abs(std::log(now.bias)) <= std::abs(std::log(before.bias)) + kBiasWorse);
    CHECK(now.coverage_90 >= std::min(before.coverage_90 - kCoverageLost, 0.97));
    CHECK(now.half_width_90 <= before.half_width_90 * kWider + kNoise);
}

/// Groups of the same rows only: n tells.
int compare(const AccuracyDocument& now, const Record& record) {
    int compared = 0;
    for (const auto& before : record.documents) {
        if (before.hardware != now.hardware || before.file != now.file) continue;
        for (const auto& group : now.groups) {
            const auto same = [&](const AccuracyGroup& g) {
                return g.op == group.op && g.dtype == group.dtype && g.impl == group.impl &&
                       g.regime == group.regime && g.n == group.n;
            };
            const auto found = std::ranges::find_if(before.groups, same);
            if (found == before.groups.end()) continue;
            compare(group, *found);
            ++compared;
        }
    }
    return compared;
}

}  // namespace

TEST_CASE("predictions of measured rows are no worse than recorded") {
    const auto folder = measured_folder();
    const std::string path = TPLAN_ROOT "/tests/golden/accuracy.json";
    if (!std::filesystem::is_directory(folder))
        return skip("no measured rows: set TPLAN_MEASURED to a folder of them");
    const bool recording = asked() == "record";
    const auto record = recording ? Record{} : from_json<Record>(load_json(path), path);
    Record now;
    int compared = 0;
    for (const auto& j : judgements()) {
        const auto file = folder + "/" + j.file;
        if (!std::filesystem::exists(file)) continue;
        INFO(fmt::format("{} on {} {}", j.file, j.hardware, j.tables ? "with tables" : ""));
        auto document = judge(j, file);
        compared += compare(document, record);
        round_figures(document);
        now.documents.push_back(std::move(document));
    }
    if (!asked().empty()) std::fputs(markdown(now.documents).c_str(), stdout);
    if (recording) return write_file(path, json_text(now));
    if (compared == 0) return skip("the measured rows are others than those recorded");
}
