// SPDX-License-Identifier: Apache-2.0
// qcow2 images with internal snapshots as qemu 0.9 laid them out: VM state, L1 copy and snapshot table at the end of the file.
#pragma once

#include <string>
#include <vector>

#include "support/old_vmstate.h"

namespace snap::test {

struct SnapshotSpec {
  std::string id = "1";
  std::string name = "one";
  Buffer state;
  std::uint32_t seconds = 1223251200;              // 2008-10-06
  std::uint64_t listed_bytes = ~std::uint64_t{0};  ///< vm_state_size of the table; all ones: the state's
  Buffer extra;
  bool data = true;         ///< false: the table says so much, the clusters are not there
  bool compressed = false;  ///< as raw deflate
};

struct Qcow2Spec {
  unsigned version = 2;
  unsigned cluster_log2 = 12;
  std::uint64_t disk_bytes = 5 * kMiB;
  std::uint64_t features = 0;
  std::vector<SnapshotSpec> snapshots;
};

struct Qcow2Built {
  Buffer file;
  std::size_t table_offset = 0;
  std::vector<std::size_t> l1_offsets;  ///< per snapshot
  std::vector<std::size_t> l2_offsets;  ///< per snapshot: its first table of VM state
};

inline Buffer raw_deflate(const Buffer& plain) { return zlib_stream(plain, {.level = 9, .window_bits = -12}); }

class Qcow2Builder {
 public:
  explicit Qcow2Builder(const Qcow2Spec& spec) : spec_(spec), cluster_(std::size_t{1} << spec.cluster_log2) {}

  Qcow2Built build() {
    built_.file.resize(cluster_);
    for (const SnapshotSpec& snapshot : spec_.snapshots) add_state(snapshot);
    align(cluster_);
    built_.table_offset = built_.file.size();
    for (std::size_t index = 0; index < spec_.snapshots.size(); ++index) add_entry(index);
    header();
    return std::move(built_);
  }

 private:
  void align(std::size_t to) { built_.file.resize((built_.file.size() + to - 1) / to * to); }

  /// The L2 entry of one cluster of VM state.
  std::uint64_t add_cluster(const SnapshotSpec& snapshot, std::size_t at) {
    Buffer bytes(snapshot.state.begin() + static_cast<std::ptrdiff_t>(at),
                 snapshot.state.begin() + static_cast<std::ptrdiff_t>(std::min(at + cluster_, snapshot.state.size())));
    bytes.resize(cluster_);
    if (!snapshot.compressed) {
      align(cluster_);
      const std::uint64_t offset = built_.file.size();
      put(built_.file, bytes);
      return offset | std::uint64_t{1} << 63;
    }
    const std::uint64_t offset = built_.file.size();
    const Buffer packed = raw_deflate(bytes);
    put(built_.file, packed);
    const std::uint64_t sectors = (offset + packed.size() - 1) / 512 - offset / 512;
    return std::uint64_t{1} << 62 | sectors << (62 - (spec_.cluster_log2 - 8)) | offset;
  }

  void add_state(const SnapshotSpec& snapshot) {
    const std::size_t per_l2 = cluster_ / 8;
    const std::uint64_t span = cluster_ * per_l2;
    const std::uint64_t first = (spec_.disk_bytes + span - 1) / span;
    const std::size_t clusters = snapshot.data ? (snapshot.state.size() + cluster_ - 1) / cluster_ : 0;
    Buffer l1(first * 8);
    built_.l2_offsets.push_back(0);
    for (std::size_t begin = 0; begin < clusters; begin += per_l2) {
      Buffer l2;
      for (std::size_t index = begin; index < std::min(clusters, begin + per_l2); ++index) {
        put_be(l2, add_cluster(snapshot, index * cluster_), 8);
      }
      l2.resize(cluster_);
      align(cluster_);
      put_be(l1, built_.file.size() | std::uint64_t{1} << 63, 8);
      if (begin == 0) built_.l2_offsets.back() = built_.file.size();
      put(built_.file, l2);
    }
    align(cluster_);
    built_.l1_offsets.push_back(built_.file.size());
    l1_entries_.push_back(l1.size() / 8);
    put(built_.file, l1);
  }

  void add_entry(std::size_t index) {
    const SnapshotSpec& snapshot = spec_.snapshots[index];
    align(8);
    Buffer& to = built_.file;
    put_be(to, built_.l1_offsets[index], 8);
    put_be(to, l1_entries_[index], 4);
    put_be(to, snapshot.id.size(), 2);
    put_be(to, snapshot.name.size(), 2);
    put_be(to, snapshot.seconds, 4);
    put_be(to, 5, 4);
    put_be(to, 77, 8);
    put_be(to, snapshot.listed_bytes == ~std::uint64_t{0} ? snapshot.state.size() : snapshot.listed_bytes, 4);
    put_be(to, snapshot.extra.size(), 4);
    put(to, snapshot.extra);
    put_text(to, snapshot.id);
    put_text(to, snapshot.name);
  }

  void header() {
    Buffer head;
    put_be(head, 0x514649fb, 4);
    put_be(head, spec_.version, 4);
    put_be(head, 0, 12);  // no backing file
    put_be(head, spec_.cluster_log2, 4);
    put_be(head, spec_.disk_bytes, 8);
    put_be(head, 0, 4);   // not encrypted
    put_be(head, 0, 24);  // the active L1 and the refcounts are not looked at
    put_be(head, spec_.snapshots.size(), 4);
    put_be(head, built_.table_offset, 8);
    if (spec_.version >= 3) {
      put_be(head, spec_.features, 8);
      put_be(head, 0, 16);
      put_be(head, 4, 4);
      put_be(head, 112, 4);
      put_be(head, (spec_.features & 8) != 0 ? 1 : 0, 1);  // compression type
    }
    std::copy(head.begin(), head.end(), built_.file.begin());
  }

  const Qcow2Spec& spec_;
  std::size_t cluster_;
  Qcow2Built built_;
  std::vector<std::size_t> l1_entries_;
};

inline Qcow2Built build_qcow2(const Qcow2Spec& spec) { return Qcow2Builder(spec).build(); }

}  // namespace snap::test
