// A session as one self-contained HTML file: no scripts, nothing from outside, prints well, light and dark, written
// from plain structs (which from_session.hpp fills). Deterministic: the same input gives the same bytes.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "probes/probes.hpp"

namespace moescope::report {

/// The run that a part of the report came from.
struct Run {
    std::string name, state;  ///< state as in the journal: "done", "stopped", "failed", "interrupted"
    std::string
        records_sha256;       ///< of the run's records, printed under every table and figure; empty prints "not known"
    nlohmann::json manifest;  ///< printed whole; scalars at the top level also as a table
};

struct Point {
    double x = 0, y = 0;  ///< a y that is not finite is a gap in the line
};

struct Series {
    std::string name;  ///< a key of report.json ("cross_entropy", ...) is translated, anything else is printed as it is
    std::vector<Point> points;  ///< ascending in x; any number, thinned to the pixels keeping minima and maxima
    bool dashed = false;        ///< of what another line is a part of
};

struct Mark {
    double x = 0;
    std::string text;  ///< what was changed there, e.g. "learning rate 3e-4 -> 1e-4"
};

/// Names follow the rule of Series::name. Units are printed as given ("nats/token"); an empty unit prints none.
struct Chart {
    std::string title, x_name, x_unit, y_name, y_unit;
    std::vector<Series> series;
    std::vector<Mark> marks;
};

/// Expert load: share of routed tokens, row-major [layers][experts], each row summing to 1. All maps of a page have one
/// scale of colours, in units of the even share 1/experts.
struct Load {
    std::string title;  ///< as Series::name
    std::size_t layers = 0, experts = 0;
    std::vector<double> shares;  ///< a wrong size prints a sentence instead of a map
};

struct Sample {
    std::uint64_t step = 0;
    std::string language, prompt, text;
};

struct Training {
    Run run;
    std::vector<Chart> charts;
    std::vector<Load> loads;
    std::vector<Sample> samples;
    std::string outcome = {};  ///< of a run that repeats another one: how far it agrees with it, in the page's language
    bool imported = false;     ///< its curves were recorded by another program; their names are printed as they are
};

struct Answer {
    Run run;
    std::string model, text, stop;
    std::uint64_t tokens = 0;
    double tokens_per_second = 0;
    std::string settings;                  ///< seed, temperature, ... as one line; may be empty
    std::optional<probes::Labels> labels;  ///< by the rules; none while it is being written
    std::string shown = {};                ///< what the model read before it; empty when it is not known
};

struct Comparison {
    std::uint32_t number = 0;  ///< as history::ComparisonNumbers counts them
    std::string prompt;
    std::vector<Answer> answers;  ///< shown side by side, each with its own manifest
};

struct ProbeAnswer {
    probes::Draw draw;  ///< labels as the statistics saw them
    std::string prompt, answer, stop;
    std::string shown = {};                   ///< as of an Answer
    std::string coder = {};                   ///< of a person's labels: initials; empty where they are not known
    std::optional<probes::Labels> rule = {};  ///< of a person's labels: what the rules had said
};

struct Probe {
    Run run;
    probes::Set set;
    nlohmann::json statistics;  ///< of probes::statistics; the report prints it and computes nothing
    std::vector<ProbeAnswer> draws;
};

/// What somebody has written on a part of the session.
struct WrittenNote {
    std::string place;  ///< what it stands on, as a person reads it
    std::string text, author, role, time;
};

struct Input {
    std::string language = "en";  ///< "en" or "zh": the language of the report's own words
    std::string title;            ///< the session's name; one that is a time ("2026-11-29-135311") is printed as such
    std::string program,
        created;  ///< program name with version, time as text: given, so that the output is reproducible
    std::vector<Training> trainings;
    std::vector<Comparison> comparisons;
    std::vector<Probe> probes;
    std::vector<WrittenNote> notes;     ///< in the order in which they were begun
    std::vector<std::string> problems;  ///< what is damaged or lost in the session, in the report's language
};

/// Any text of the input may be hostile: it is escaped, invalid UTF-8 and control characters are replaced. Does not
/// throw on odd values.
std::string html_report(const Input& input);

}  // namespace moescope::report
