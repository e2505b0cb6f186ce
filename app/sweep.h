#pragma once
#include <string>
#include <vector>

#include "app/query.h"

/// `tplan sweep`: all combinations of hardware, link, degree and batch.

namespace tplan {

/// One combination of a sweep.
struct SweepRow {
    std::string hardware, link;
    int tp = 1;
    std::int64_t batch = 1;
    bool feasible = false;
    std::string reason;  // why not feasible; empty otherwise
    Nullable<Seconds> step, compute, collective, exposed_collective, launch;
    Nullable<std::array<Seconds, 2>> interval_90;
    Nullable<double> tokens_per_s, tokens_per_s_per_gpu;
    Nullable<double> speedup;  // over the smallest degree that fits (none: that works) of the same
                               // hardware, link and batch
    Nullable<Provenance> provenance;
    Nullable<Domain> domain;
    Nullable<MemoryUse> memory;
    bool best = false;  // fastest that fits, per hardware, link and batch
    static void fields(auto& self, auto&& field) {
        field("hardware", self.hardware);
        field("link", self.link);
        field("tp", self.tp);
        field("batch", self.batch);
        field("feasible", self.feasible);
        field("reason", self.reason);
        field("step_s", self.step);
        field("interval_90_s", self.interval_90);
        field("compute_s", self.compute);
        field("collective_s", self.collective);
        field("exposed_collective_s", self.exposed_collective);
        field("launch_s", self.launch);
        field("tokens_per_s", self.tokens_per_s);
        field("tokens_per_s_per_gpu", self.tokens_per_s_per_gpu);
        field("speedup", self.speedup);
        field("provenance", self.provenance);
        field("domain", self.domain);
        field("memory", self.memory);
        field("best", self.best);
    }
};

/// `tplan.sweep/1`.
struct SweepDocument {
    std::string schema = "tplan.sweep/1";
    std::string model;
    Workload workload;
    std::vector<SweepRow> rows;
    std::vector<std::string>
        findings;  // one sentence per hardware, link and batch: where a further GPU stops paying
    std::vector<std::string> notes;    // what was priced as something else, and what holds for all
    std::optional<Training> training;  // phase train: its mesh, whose TP degree is that of each row
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("model", self.model);
        field("workload", self.workload);
        field("training", self.training);
        field("rows", self.rows);
        field("findings", self.findings);
        field("notes", self.notes);
    }
};

/// What a sweep varies; an empty list takes the query's own value (all links of the profile for
/// links).
struct SweepAxes {
    std::vector<std::string> hardware, links;
    std::vector<int> degrees;
    std::vector<std::int64_t> batches;
};

/// All combinations. Each degree is lowered once and priced for every hardware, link and batch.
/// Throws Error as resolve() does, and for a link that a profile has not.
SweepDocument sweep(const Query& query, const SweepAxes& axes);

/// The rows as a table, then the findings.
std::string sweep_text(const SweepDocument& document);

/// A header and one line per row; figures of an infeasible row are empty. Times in seconds.
std::string sweep_csv(const SweepDocument& document);

}  // namespace tplan
