internal import CLinux
internal import PoolerCore
