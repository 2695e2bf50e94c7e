// SPDX-License-Identifier: Apache-2.0
// The folder of one snapshot: ram, ram.elf, regions/, state/, info.json, map.json, parent.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "file.h"
#include "snap/import.h"
#include "source.h"

namespace snap::view {

enum class NodeKind { kFolder, kFile, kSameFile, kLink, kParent };

struct Node {
  NodeKind kind = NodeKind::kFolder;
  std::string name;
  std::size_t up = 0;                 ///< the folder it is in
  std::vector<std::size_t> children;  ///< of a folder
  std::unique_ptr<File> file;         ///< of a file
  std::string target;                 ///< of a link
  std::size_t same = 0;               ///< of kSameFile: the file that has this name too
};

/// Any thread may call any method.
class Tree {
 public:
  static constexpr std::size_t kRoot = 0;

  /// `cancel`: ends what takes long.
  Tree(std::shared_ptr<Source> source, unsigned threads, const std::atomic<bool>& cancel);

  Source& source() const { return *source_; }
  Reader& reader() const { return source_->reader(); }
  const Node& node(std::size_t index) const { return nodes_[index]; }
  std::size_t size() const { return nodes_.size(); }
  /// The node of that name in a folder, or 0.
  std::size_t find(std::size_t folder, std::string_view name) const;
  /// What is open of it is counted.
  void note_opened() {
    ++opened_;
    note_used();
  }
  void note_closed() {
    --opened_;
    note_used();
  }
  void note_used() { used_ = std::chrono::steady_clock::now().time_since_epoch(); }
  bool is_open() const { return opened_ != 0; }
  /// Nothing of it is open, and was asked for lately.
  bool idle_for(std::chrono::seconds time) const {
    return opened_ == 0 && (parent_opened() == 0) && std::chrono::steady_clock::now().time_since_epoch() - used_.load() >= time;
  }

  /// The folder behind a node kParent.
  std::shared_ptr<Tree> parent();

 private:
  unsigned parent_opened() const;
  std::size_t add(std::size_t folder, std::string name, NodeKind kind);
  void add_file(std::size_t folder, std::string name, std::unique_ptr<File> file);
  void add_physical();
  void add_ram(const std::vector<PhysicalRange>& ranges);
  void add_regions();
  void add_texts();
  void add_parent();

  std::shared_ptr<Source> source_;
  unsigned threads_;
  const std::atomic<bool>& cancel_;
  std::vector<Node> nodes_;
  std::counting_semaphore<> gate_;
  mutable std::mutex mutex_;
  std::shared_ptr<Tree> parent_;
  std::atomic<unsigned> opened_{0};
  std::atomic<std::chrono::steady_clock::duration> used_{};
};

}  // namespace snap::view
