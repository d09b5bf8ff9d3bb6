import { execFileSync } from 'node:child_process';

export interface PgvectorServer {
  readonly connectionString: string;
  /** The server's first process as the host sees it; undefined where that cannot be told. */
  readonly pid: number | undefined;
  /** Runs a program of the image and returns what it wrote. */
  exec(command: string[]): Promise<string>;
  stop(): Promise<void>;
}

export type PgvectorStart =
  | { readonly kind: 'started'; readonly server: PgvectorServer }
  /** No container engine answers here. */
  | { readonly kind: 'unavailable'; readonly reason: string };

/** The image that the documentation and the compose file name. */
const image = 'pgvector/pgvector:pg17';

/** A PostgreSQL 17 with pgvector in a container of its own. */
export async function startPgvector(): Promise<PgvectorStart> {
  // Loaded only here: it looks for an engine as it loads.
  const { GenericContainer, Wait } = await import('testcontainers');
  const containers = new GenericContainer(image)
    .withEnvironment({ POSTGRES_USER: 'engramd', POSTGRES_PASSWORD: 'engramd', POSTGRES_DB: 'engramd' })
    .withExposedPorts(5432)
    .withWaitStrategy(Wait.forListeningPorts())
    .withStartupTimeout(120_000);
  let container: Awaited<ReturnType<typeof containers.start>>;
  try {
    container = await containers.start();
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    if (/container runtime/i.test(message)) return { kind: 'unavailable', reason: 'no container engine answers' };
    throw thrown;
  }
  return {
    kind: 'started',
    server: {
      connectionString: `postgres://engramd:engramd@${container.getHost()}:${container.getMappedPort(5432)}/engramd`,
      pid: hostPid(container.getId()),
      async exec(command) {
        const { exitCode, output } = await container.exec(command);
        if (exitCode !== 0) throw new Error(`${command[0]} ended with ${exitCode}: ${output}`);
        return output;
      },
      stop: async () => {
        await container.stop();
      },
    },
  };
}

function hostPid(containerId: string): number | undefined {
  try {
    const pid = Number(
      execFileSync('docker', ['inspect', '--format', '{{.State.Pid}}', containerId], { encoding: 'utf8' }),
    );
    return pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}
