// SPDX-License-Identifier: Apache-2.0
// The server's inside: server.cpp mounts and serves, answers.cpp answers.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "budget.h"
#include "housekeeper.h"
#include "inodes.h"
#include "lowlevel.h"
#include "prefetch.h"
#include "registry.h"
#include "server.h"
#include "touches.h"
#include "tree.h"
#include "workers.h"

namespace snap::view {

/// An open file.
struct Handle {
  Handle(Place of, File& content) : place(std::move(of)), file(content) { place.tree->note_opened(); }
  ~Handle() { place.tree->note_closed(); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  Place place;
  File& file;
  mutable std::atomic<bool> was_read{false};
};

/// A name on the shelf: its snapshot, if that is open, and who waits for a look at it.
struct OnShelf {
  std::string identity;
  std::weak_ptr<Tree> tree;
  bool busy = false;  // somebody is looking
  std::vector<fuse_req_t> waiting;
};

/// A listing as it was when the folder was opened.
struct Listing {
  struct Entry {
    std::string name;
    mode_t type;
  };
  void add(std::string name, mode_t type) { entries.push_back({std::move(name), type}); }

  std::vector<Entry> entries{{".", S_IFDIR}, {"..", S_IFDIR}};
};

template <typename Call>
void guarded(fuse_req_t request, Call call) {
  try {
    call();
  } catch (const std::bad_alloc&) {
    fuse_reply_err(request, ENOMEM);
  } catch (...) {
    fuse_reply_err(request, EIO);
  }
}

class ServerImpl final : public Server {
 public:
  ServerImpl(std::shared_ptr<Shelf> shelf, ServerOptions options)
      : options_(std::move(options)), shelf_(std::move(shelf)), budget_(options_.cache_bytes), inodes_({}) {}
  ServerImpl(std::shared_ptr<Source> source, ServerOptions options)
      : options_(std::move(options)), budget_(options_.cache_bytes), root_(open_tree(std::move(source))), inodes_({root_, Tree::kRoot}) {}

  ~ServerImpl() override;

  bool mount(const std::string& directory);
  bool serve(const std::function<void()>& ready) override;
  void detach() override;
  std::vector<TouchedRange> recording() const override { return touches_.ranges(); }
  void log(const std::string& message);

 private:
  static ServerImpl& of(fuse_req_t request) { return *static_cast<ServerImpl*>(fuse_req_userdata(request)); }
  static const fuse_lowlevel_ops& operations();

  // ---- The kernel's questions ----

  static void init(void* self, fuse_conn_info* connection);
  void lookup(fuse_req_t request, fuse_ino_t parent, const char* name);
  void forget(fuse_ino_t inode, std::uint64_t times) { inodes_.forget(inode, times); }
  void getattr(fuse_req_t request, fuse_ino_t inode);
  void readlink(fuse_req_t request, fuse_ino_t inode);
  void open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info);
  void finish_open(fuse_req_t request, const Place& place, fuse_file_info info);
  void release(fuse_req_t request, std::uint64_t handle);
  void read(fuse_req_t request, fuse_ino_t inode, std::size_t size, std::uint64_t offset, const Handle& handle);
  void lseek(fuse_req_t request, std::uint64_t offset, int whence, const Handle& handle);
  void fallocate(fuse_req_t request, int mode, std::uint64_t offset, std::uint64_t length, const Handle& handle);
  void write(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, const fuse_file_info* info);
  void opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info);
  void reply_lookup(fuse_req_t request, const Place& folder, const Place& found);
  void reply_opendir(fuse_req_t request, fuse_file_info info, std::unique_ptr<Listing> listing);
  void readdir(fuse_req_t request, std::size_t size, std::size_t offset, const Listing& listing);
  void statfs(fuse_req_t request);
  static void getxattr(fuse_req_t request, const char* name, std::size_t size);

  // ---- What they are about ----

  std::shared_ptr<Tree> open_tree(std::shared_ptr<Source> source);
  void ask_shelf(fuse_req_t request, const std::string& name);
  void look_at_shelf(const std::string& name);
  std::shared_ptr<Tree> from_shelf(const std::string& name);
  void let_go_of_idle();
  static Place child(const Place& folder, const char* name);
  struct stat attributes(std::uint64_t inode, const Place& place) const;
  void prefetch(std::uint64_t inode, const std::shared_ptr<Tree>& tree, File& file);
  void set_read_ahead();
  void touch_main_memory();
  void answer(char* memory);
  void stop_helpers();
  void log(const Tree& tree, const Error& error) { log(tree.source().explain(error)); }

  ServerOptions options_;
  std::shared_ptr<Shelf> shelf_;
  std::atomic<bool> cancel_{false};
  Budget budget_;
  std::shared_ptr<Tree> root_;  // null: the shelf
  Inodes inodes_;
  Registry<Handle> files_;
  Registry<Listing> listings_;
  Touches touches_;
  std::string directory_;
  std::atomic<dev_t> device_{0};  // of the mount, once it is served
  fuse_session* session_ = nullptr;
  std::unique_ptr<Prefetcher> prefetcher_;
  std::unique_ptr<Housekeeper> keeper_;
  std::unique_ptr<Workers> slow_;    // makes files ready
  // They look at the shelf, and nobody else does.
  std::unique_ptr<Workers> opener_, lister_;
  std::atomic<bool> failed_{false};

  std::mutex shelf_mutex_;
  std::map<std::string, OnShelf> taken_;
};

}  // namespace snap::view
