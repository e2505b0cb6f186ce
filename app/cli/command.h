#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <stop_token>
#include <string>

#include "app/query.h"
#include "app/refusal.h"
#include "app/training.h"

/// What the subcommands share. Each lives in its own file: parse flags -> one app call -> print.

namespace tplan::cli {

/// Set by the subcommand that was given; returns the exit code.
using Action = std::function<int()>;

/// Prints text on stdout; returns 0.
int print(const std::string& text);

/// Prints one JSON document on stdout; returns 0.
template <class T>
int print_json(const T& document) {
    return print(json_text(document));
}

/// One line on stderr for an answer that is no; returns 1.
int answer_no(const std::string& text);

/// The same for a degree that does not work; with `json` also as a document on stdout.
int answer_no(const Refusal& refusal, bool json);

/// Ends with Ctrl-C: long work polls this token.
std::stop_token interrupted();

/// A progress bar on a terminal, a plain line every tenth otherwise. `done` from 0 to 1.
void show_progress(double done, const std::string& what);

/// Comma-separated integers, "1,2,4"; degrees up to 4,096. Throw Error naming the flag.
std::vector<int> parse_degrees(const std::string& text, const std::string& flag);
std::vector<int> parse_batches(const std::string& text);
std::vector<std::string> split_list(const std::string& text);

/// Flags of the workload, the plan and the prices, as text until the command runs.
struct QueryFlags {
    std::string model, hardware, tp = "1";
    std::string phase = "decode", dtype, kv_dtype, kernels = "served", layout = "best",
                transformers = "5.16";
    std::string link, collectives, quant = "dynamic", sampling = "logits", tp_plan;
    std::string batch = "1";
    std::int64_t input = 1024, context = 1024;
    int nodes = 1;
    double memory_fraction = 0.9;
    double reserve_bytes = 0;
    TrainingFlags training;
};

/// What the command line's reader found wrong, as flag, fault and what to do.
std::string flag_fault(const CLI::App& program, const CLI::ParseError& error);

/// Adds the flags every estimating command takes. Call it after the command's own: it notes which
/// are given.
void add_workload_flags(CLI::App& command, QueryFlags& flags);

/// Throws Error unless --tp was given, or --mesh, or --hw says how many GPUs there are.
void require_degree(const QueryFlags& flags);

/// The query they spell. `tp` and `batch` must be single numbers here. Throws Error for a word that
/// is none of a flag's choices; ranges are resolve()'s question.
Query make_query(const QueryFlags& flags);

// One function per subcommand: adds it to the program and sets `action` when it is the one given.
void add_models(CLI::App& program, Action& action);
void add_inspect(CLI::App& program, Action& action);
void add_hardware(CLI::App& program, Action& action);
void add_estimate(CLI::App& program, Action& action);
void add_sweep(CLI::App& program, Action& action);
void add_plan(CLI::App& program, Action& action);
void add_check(CLI::App& program, Action& action);
void add_show(CLI::App& program, Action& action);
void add_report(CLI::App& program, Action& action);
void add_gui(CLI::App& program, Action& action);
void add_run(CLI::App& program, Action& action);
void add_calibrate(CLI::App& program, Action& action);
void add_export(CLI::App& program, Action& action);
void add_predict(CLI::App& program, Action& action);
void add_accuracy(CLI::App& program, Action& action);
void add_bench(CLI::App& program, Action& action);

}  // namespace tplan::cli
