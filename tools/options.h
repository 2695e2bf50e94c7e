// SPDX-License-Identifier: Apache-2.0
// The command line. A narrow face of CLI11, which takes a compiler long: only options.cpp includes it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace snap::tool {

/// What one command takes. The variables are filled in by parsing and must live until the command has run.
class Options {
 public:
  explicit Options(CLI::App& app) : app_(app) {}
  void flag(const char* name, bool& value, const char* help);
  void text(const char* name, std::string& value, const char* placeholder, const char* help);
  /// The same, and must be given.
  void required_text(const char* name, std::string& value, const char* placeholder, const char* help);
  /// May be given again; all are kept.
  void texts(const char* name, std::vector<std::string>& values, const char* placeholder, const char* help);
  /// --parent: where a snapshot's parents are looked for.
  void parents(std::vector<std::string>& places);
  /// -o: how a snapshot is stored.
  void writer_options(std::vector<std::string>& lists);
  /// -j: by default the CPUs that this process may use.
  void threads(unsigned& value);
  /// --output=human|json.
  void output(std::string& value);
  void operand(const char* name, std::string& value, const char* help);
  /// The last one, which may be left out.
  void optional_operand(const char* name, std::string& value, const char* help);
  /// One or more, as the last operand.
  void operands(const char* name, std::vector<std::string>& values, const char* help);
  /// The same, or none.
  void optional_operands(const char* name, std::vector<std::string>& values, const char* help);
  /// What stands behind "--", as it is.
  void rest(std::vector<std::string>& words, const char* help);

 private:
  friend class CommandLine;
  CLI::App& app_;
  std::vector<std::string>* rest_ = nullptr;
};

/// Runs a command after parsing; the exit status.
using Command = std::function<int()>;

class CommandLine {
 public:
  CommandLine(const char* name, const char* version, const char* purpose, const char* footer);
  ~CommandLine();
  void add(const char* name, const char* purpose, Command (*adder)(Options&));
  /// Parses and runs the command that is named; --help, --version and the command "help" it knows itself.
  int run(int argc, char** argv);

 private:
  struct Named {
    CLI::App* app;
    Command run;
    std::vector<std::string>* rest;
  };
  int help(const std::string& topic) const;
  /// Takes what is behind "--" away where the command wants it; answers how many arguments are left.
  int take_rest(int argc, char** argv) const;

  std::string name_;
  std::unique_ptr<CLI::App> app_;
  std::vector<Named> commands_;
};

}  // namespace snap::tool
