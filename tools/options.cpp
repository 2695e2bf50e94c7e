// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "open.h"
#include "report.h"

namespace snap::tool {
namespace {

constexpr unsigned kMaxThreads = 256;

// To CLI11 a last argument "[a,b]" is two values; to us it is a name. With a mark in front it stays one.
constexpr char kMark = '\1';

std::vector<std::string> marked(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  for (std::string& each : arguments) {
    if (each.starts_with('[') && each.ends_with(']')) each.insert(each.begin(), kMark);
  }
  return arguments;
}

std::string without_marks(std::string text) {
  std::erase(text, kMark);
  return text;
}

CLI::Validator unmarked() {
  const auto unmark = [](std::string& value) {
    if (value.size() > 2 && value[0] == kMark && value[1] == '[') value.erase(0, 1);
    return std::string();
  };
  return CLI::Validator(unmark, "");
}

}  // namespace

void Options::flag(const char* name, bool& value, const char* help) { app_.add_flag(name, value, help); }

void Options::text(const char* name, std::string& value, const char* placeholder, const char* help) {
  app_.add_option(name, value, help)->option_text(placeholder)->transform(unmarked());
}

void Options::required_text(const char* name, std::string& value, const char* placeholder, const char* help) {
  app_.add_option(name, value, help)->option_text(placeholder)->required()->transform(unmarked());
}

void Options::texts(const char* name, std::vector<std::string>& values, const char* placeholder, const char* help) {
  app_.add_option(name, values, help)->option_text(placeholder)->allow_extra_args(false)->transform(unmarked());
}

void Options::parents(std::vector<std::string>& places) {
  texts("--parent", places, "FILE|DIR", "For a snapshot that is a difference: a parent, or a directory of parents; beside it is looked too");
}

void Options::writer_options(std::vector<std::string>& lists) {
  texts("-o", lists, "KEY=VALUE,...",
        "For a vmsnap DST: block_size=16K...4M, codec=zstd|lz4|store, level=N, delta=auto|raw|xor|dictionary");
}

void Options::threads(unsigned& value) {
  value = online_cpus();
  app_.add_option("-j", value, "Threads; by default one for each CPU")
      ->option_text("THREADS")
      ->check(CLI::Range(1u, kMaxThreads));
}

void Options::output(std::string& value) {
  app_.add_option("--output", value, "human (the default) or json")
      ->option_text("FORMAT")
      ->check(CLI::IsMember({"human", "json"}));
}

void Options::operand(const char* name, std::string& value, const char* help) {
  app_.add_option(name, value, help)->required()->transform(unmarked());
}

void Options::optional_operand(const char* name, std::string& value, const char* help) {
  app_.add_option(name, value, help)->transform(unmarked());
}

void Options::operands(const char* name, std::vector<std::string>& values, const char* help) {
  app_.add_option(name, values, help)->required()->transform(unmarked());
}

void Options::optional_operands(const char* name, std::vector<std::string>& values, const char* help) {
  app_.add_option(name, values, help)->transform(unmarked());
}

void Options::rest(std::vector<std::string>& words, const char* help) {
  rest_ = &words;
  app_.footer(help);
}

CommandLine::CommandLine(const char* name, const char* version, const char* purpose, const char* footer)
    : name_(name), app_(std::make_unique<CLI::App>(purpose, name)) {
  app_->footer(footer);
  app_->set_version_flag("-V,--version", fmt::format("{} {}", name, version), "Print the version");
  app_->require_subcommand(1);
}

CommandLine::~CommandLine() = default;

void CommandLine::add(const char* name, const char* purpose, Command (*adder)(Options&)) {
  CLI::App* app = app_->add_subcommand(name, purpose);
  Options options(*app);
  Command run = adder(options);
  commands_.push_back({app, std::move(run), options.rest_});
}

int CommandLine::take_rest(int argc, char** argv) const {
  for (const Named& command : commands_) {
    if (command.rest == nullptr || argc < 2 || command.app->get_name() != argv[1]) continue;
    char** const mark = std::find_if(argv + 2, argv + argc, [](const char* word) { return std::string_view(word) == "--"; });
    if (mark == argv + argc) return argc;
    command.rest->assign(mark + 1, argv + argc);
    return static_cast<int>(mark - argv);
  }
  return argc;
}

int CommandLine::run(int argc, char** argv) {
  CLI::App* help_app = app_->add_subcommand("help", "Print the help of a command");
  std::string topic;
  help_app->add_option("COMMAND", topic, "A command")->transform(unmarked());
  try {
    std::vector<std::string> arguments = marked(take_rest(argc, argv), argv);
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    app_->parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app_->exit(error), kExitOk;
    fail_usage(without_marks(error.what()));
  }
  if (help_app->parsed()) return help(topic);
  for (const Named& command : commands_) {
    if (command.app->parsed()) return command.run();
  }
  return kExitUsage;
}

int CommandLine::help(const std::string& topic) const {
  // app_->help() would be that of "help", the command at hand.
  if (topic.empty()) return print(app_->get_formatter()->make_help(app_.get(), name_, CLI::AppFormatMode::Normal)), kExitOk;
  for (const Named& command : commands_) {
    if (command.app->get_name() == topic) return print(command.app->help(name_)), kExitOk;
  }
  fail_usage(fmt::format("no command '{}'", topic));
}

}  // namespace snap::tool
